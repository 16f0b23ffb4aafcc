"""InfoNCE (van den Oord et al. 2018, arXiv 1807.03748), each positive of an anchor against the anchor's negatives."""

import torch

from encoders.losses.base import PerAnchor

_NOTHING = -1e4
"""The exponent of what is no negative: its power is 0, and its gradient too where an anchor has no negative."""


class InfoNce(PerAnchor):
    """The weighted mean over positives p of -log(e^p / (e^p + sum e^n over negatives n)), of scores / temperature."""

    def of_anchors(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        logits = scores / self.temperature
        others = torch.logsumexp(logits.masked_fill(negatives == 0, _NOTHING) + _log(negatives), 1, keepdim=True)
        losses = torch.nn.functional.softplus(others - logits)
        weights = positives.sum(1).clamp(min=torch.finfo(scores.dtype).tiny)
        return (losses * positives).sum(1) / weights


def _log(weights: torch.Tensor) -> torch.Tensor:
    return torch.where(weights > 0, weights, torch.ones_like(weights)).log()
