"""A layer of latent attention over token vectors, before they are pooled: NV-Embed (Lee et al. 2024, arXiv 2405.17428).

Tokens attend to trained latents, then go through a feed-forward layer, each with a residual. This file travels with an
exported encoder, so it imports nothing of this project.
"""

import torch
from torch.nn import functional as F

FEED_FORWARD = 4
"""Its inner width, in dimensions."""


class LatentAttention(torch.nn.Module):
    """Float (n, t, dimension) to the same shape; what is padding stays beside what is not."""

    def __init__(self, dimension: int, latents: int, heads: int, head_dimension: int) -> None:
        super().__init__()
        inner = heads * head_dimension
        self.heads = heads
        self.latents = torch.nn.Parameter(torch.randn(latents, dimension))
        self.query_norm = torch.nn.LayerNorm(dimension)
        self.latent_norm = torch.nn.LayerNorm(dimension)
        self.query = torch.nn.Linear(dimension, inner, bias=False)
        self.key_value = torch.nn.Linear(dimension, 2 * inner, bias=False)
        self.out = torch.nn.Linear(inner, dimension, bias=False)
        self.feed_norm = torch.nn.LayerNorm(dimension)
        self.feed_in = torch.nn.Linear(dimension, 2 * FEED_FORWARD * dimension)
        self.feed_out = torch.nn.Linear(FEED_FORWARD * dimension, dimension)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        n = len(tokens)
        key, value = self.key_value(self.latent_norm(self.latents)).chunk(2, dim=-1)
        query, key, value = (
            each.unflatten(-1, (self.heads, -1)).transpose(-3, -2)
            for each in (self.query(self.query_norm(tokens)), key.expand(n, -1, -1), value.expand(n, -1, -1))
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(-3, -2).flatten(-2)
        tokens = tokens + self.out(attended)
        value, gate = self.feed_in(self.feed_norm(tokens)).chunk(2, dim=-1)
        return tokens + self.feed_out(value * F.gelu(gate))
