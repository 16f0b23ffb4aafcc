"""Token vectors to one text vector. A leaf is a function and its flag in sentence-transformers' pooling config."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch

PoolingName = Literal["mean", "cls"]


class Pooling(NamedTuple):
    """`pool(hidden (n, t, d), mask (n, t)) -> (n, d)`."""

    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    st_flag: str


def mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens that are not padding."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def cls(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The first token that is not padding."""
    first = mask.argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), first]


POOLINGS: dict[PoolingName, Pooling] = {"mean": Pooling(mean, "mean_tokens"), "cls": Pooling(cls, "cls_token")}
