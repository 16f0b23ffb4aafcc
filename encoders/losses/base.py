"""What a loss is: statistics of each anchor against all candidates, and a total over the anchors.

Split so that a tile of anchors at a time, on one worker of many, gives the same total as all of them at once.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch


class Loss(ABC):
    """A leaf declares its hyper-parameters. Scores are cosines."""

    both_ways: ClassVar[bool] = True
    """Chunks as anchors among terms and terms as anchors among chunks; or the former alone."""
    n_statistics: ClassVar[int]
    counts_copies: ClassVar[bool] = False
    """Whether a term that several chunks drew is as many negatives, as if every copy were encoded."""

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        """What a loss with a softmax divides scores by."""

    @abstractmethod
    def statistics(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Float (anchors, statistics) of scores (anchors, candidates).

        `positives` and `negatives` (the same shape) weigh each candidate, 0 where it is none. What is neither counts
        for nothing.
        """

    @abstractmethod
    def total(self, statistics: torch.Tensor) -> torch.Tensor:
        """The loss, float (), of the statistics of all anchors of a batch."""


class PerAnchor(Loss):
    """A mean over the anchors that have a positive."""

    n_statistics = 2

    @abstractmethod
    def of_anchors(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Float (anchors,); what it says of an anchor without positives is not used."""

    def statistics(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        counts = (positives > 0).any(1)
        return torch.stack([self.of_anchors(scores, positives, negatives) * counts, counts.to(scores.dtype)], dim=1)

    def total(self, statistics: torch.Tensor) -> torch.Tensor:
        return statistics[:, 0].sum() / statistics[:, 1].sum()
