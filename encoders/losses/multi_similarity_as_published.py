"""Multi-similarity as DR.EHR's code computes it (formats of the reference: docs/training.md).

Chunks are anchors among the terms that all chunks drew, every copy of a term a candidate of its own, and a term that
another chunk drew too a negative although it is a positive. One log goes over the whole batch, and the mining masks
multiply the similarity: a pair that is mined away stays in the sum with similarity 0.
"""

import torch

from encoders.losses.base import Loss
from encoders.losses.multi_similarity import ALPHA, BETA, MARGIN, THRESHOLD


class MultiSimilarityAsPublished(Loss):
    """(1/B) {(1/a) log[1 + sum exp(-a (m s - l))] + (1/b) log[1 + sum exp(b (n s - l))]}, sums over the batch."""

    both_ways = False
    counts_copies = True
    n_statistics = 3

    def statistics(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        hardest_negative = scores.masked_fill(negatives == 0, -torch.inf).amax(1, keepdim=True)
        hardest_positive = scores.masked_fill(positives == 0, torch.inf).amin(1, keepdim=True)
        kept_positives = scores * (scores - MARGIN < hardest_negative)
        kept_negatives = scores * (scores + MARGIN > hardest_positive)
        pull = (positives * torch.exp(-ALPHA * (kept_positives - THRESHOLD))).sum(1)
        push = (negatives * torch.exp(BETA * (kept_negatives - THRESHOLD))).sum(1)
        counts = (positives > 0).any(1).to(scores.dtype)
        return torch.stack([pull * counts, push * counts, counts], dim=1)

    def total(self, statistics: torch.Tensor) -> torch.Tensor:
        pull, push, anchors = statistics.sum(0)
        return (torch.log1p(pull) / ALPHA + torch.log1p(push) / BETA) / anchors
