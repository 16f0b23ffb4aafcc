"""Token vectors to one text vector. A leaf is a module, and its mode in sentence-transformers' pooling config."""

from typing import ClassVar, Literal

import torch

PoolingName = Literal["mean", "cls", "last_token"]


class Pooling(torch.nn.Module):
    """`forward(hidden (n, t, d), mask (n, t)) -> (n, d)`; the mask is 1 for what is pooled."""

    st_mode: ClassVar[str]
    st_flag: ClassVar[str]
    """The former since sentence-transformers 6, the latter before, and still read."""


class Mean(Pooling):
    """Mean over the tokens."""

    st_mode, st_flag = "mean", "mean_tokens"

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


class Cls(Pooling):
    """The first token."""

    st_mode, st_flag = "cls", "cls_token"

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return _at(hidden, mask.argmax(1))


class LastToken(Pooling):
    """The last token."""

    st_mode, st_flag = "lasttoken", "lasttoken"

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return _at(hidden, last)


def _at(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    # Not len(hidden), which tracing for OpenVINO takes for a constant.
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), places]


POOLINGS: dict[PoolingName, type[Pooling]] = {
    "mean": Mean,
    "cls": Cls,
    "last_token": LastToken,
}
