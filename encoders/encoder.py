"""The encoder: a transformer, its tokenizer and a spec. One class for every variant; what differs is data."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_model, save_model
from torch.nn import functional as F

from encoders.latent_attention import LatentAttention
from encoders.pooling import POOLINGS
from encoders.spec import LATENT_FOLDER, EncoderSpec, fingerprint, resolve, write_spec
from encoders.text_tokenizer import TextTokenizer

ENCODE_BATCH = 32
WEIGHTS = "model.safetensors"
Progress = Callable[[int, int], None]


class Encoder(torch.nn.Module):
    """Text in, vectors out. `spec` says how; `fingerprint` names weights + tokenizer + spec."""

    def __init__(self, transformer: Any, tokenizer: Any, spec: EncoderSpec, fingerprint: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.tokenizer = tokenizer
        size = spec.latent_attention
        self.latent_attention = LatentAttention(spec.dimension, **size.model_dump()) if size else torch.nn.Identity()
        self.pooling = POOLINGS[spec.pooling]()
        self.spec = spec
        self.fingerprint = fingerprint

    @classmethod
    def load(cls, name: str, as_stored: bool = False) -> "Encoder":
        """Load `bundled` or a folder in sentence-transformers layout, in evaluation mode, in fp32 or as it is stored.

        Raises ValueError naming the file when the folder is incomplete.
        """
        folder = resolve(name)
        tokenizer, spec = TextTokenizer.load(name)
        transformers.utils.logging.disable_progress_bar()
        transformer = transformers.AutoModel.from_pretrained(folder, dtype="auto" if as_stored else torch.float32)
        encoder = cls(transformer, tokenizer, spec, fingerprint(folder, spec))
        if spec.latent_attention:
            load_model(encoder.latent_attention, folder / LATENT_FOLDER / WEIGHTS)
        return encoder.in_format(transformer.dtype).eval()

    def in_format(self, number_format: torch.dtype) -> "Encoder":
        """The encoder with its weights in a number format. Buffers stay: rotary frequencies are only right in fp32."""
        for weight in self.parameters():
            weight.data = weight.data.to(number_format)
        return self

    def save(self, folder: Path) -> None:
        """Write the encoder as plain sentence-transformers and this project both load it."""
        self.transformer.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.spec.latent_attention:
            (folder / LATENT_FOLDER).mkdir(exist_ok=True)
            save_model(self.latent_attention, str(folder / LATENT_FOLDER / WEIGHTS))
        self.fingerprint = write_spec(folder, self.spec)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pooled_mask: torch.Tensor) -> torch.Tensor:
        """Vectors (n, dimension) of padded token ids (n, t), their mask (n, t) and that of the pooled ones (n, t)."""
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = self.pooling(self.latent_attention(hidden), pooled_mask)
        return F.normalize(pooled, dim=-1) if self.spec.normalised else pooled

    def tokenize(self, texts: Sequence[str], kind: str, max_tokens: int | None = None) -> list[list[int]]:
        """Token ids of queries or passages: prefix added, cut at the spec's length or at `max_tokens` without it."""
        return TextTokenizer(self.tokenizer, self.spec).tokenize(texts, kind, max_tokens)

    def unpooled_tokens(self, kind: str) -> int:
        """How many of the first tokens of a query or passage are not pooled, special ones in front included."""
        return TextTokenizer(self.tokenizer, self.spec).unpooled_tokens(kind)

    def pad(
        self, token_ids: Sequence[Sequence[int]], unpooled: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Padded ids, their mask and that of the pooled ones, each (n, longest), on the model's device.

        `unpooled` (n,) says how many of the first tokens of each are left out of the pooling.
        """
        padded = TextTokenizer(self.tokenizer, self.spec).pad(token_ids, unpooled)
        ids, mask, pooled = (torch.from_numpy(each).to(self.transformer.device) for each in padded)
        return ids, mask, pooled

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Query vectors, float32 (n, dimension)."""
        return self._encode(texts, "query", progress)

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Passage vectors, float32 (n, dimension)."""
        return self._encode(texts, "passage", progress)

    # Not inference mode: sharded weights (FSDP2) that are first gathered in it could never be trained.
    @torch.no_grad()
    def _encode(self, texts: Sequence[str], kind: str, progress: Progress | None) -> np.ndarray:
        vectors = np.empty((len(texts), self.spec.dimension), dtype=np.float32)
        token_ids = self.tokenize(texts, kind) if texts else []
        # Similar lengths share a batch, so little of it is padding.
        order = sorted(range(len(texts)), key=lambda i: -len(token_ids[i]))
        unpooled = self.unpooled_tokens(kind)
        for start in range(0, len(order), ENCODE_BATCH):
            rows = order[start : start + ENCODE_BATCH]
            batch = self.pad([token_ids[i] for i in rows], [unpooled] * len(rows))
            vectors[rows] = self(*batch).float().cpu().numpy()
            if progress:
                progress(start + len(rows), len(texts))
        return vectors
