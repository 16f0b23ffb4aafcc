"""Training losses over a matrix of cosine scores.

`multi_similarity` is Wang et al. 2019 (arXiv 1904.06627, equation 15) with its pair mining (equations 11 and 12), one
log per anchor, as the paper states it. DR.EHR's own code differs: one log over the whole batch.
"""

import torch

ALPHA, BETA, THRESHOLD, MARGIN = 2.0, 50.0, 0.5, 0.1
"""DR.EHR's hyper-parameters (arXiv 2507.18583)."""


def multi_similarity(scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Mean loss over the anchors that have a positive.

    `scores` (anchors, candidates) are cosines; `positives` (the same shape) says how often each candidate was drawn
    as a positive, 0 for never; `negatives` (the same shape, bool) says which are negatives. What is neither counts
    for nothing.
    """
    drawn = positives > 0
    hardest_negative = scores.masked_fill(~negatives, -torch.inf).amax(1, keepdim=True)
    hardest_positive = scores.masked_fill(~drawn, torch.inf).amin(1, keepdim=True)
    kept_positives = positives * (scores - MARGIN < hardest_negative)
    kept_negatives = negatives & (scores + MARGIN > hardest_positive)
    pull = torch.log1p((kept_positives * torch.exp(-ALPHA * (scores - THRESHOLD))).sum(1)) / ALPHA
    push = torch.log1p((kept_negatives * torch.exp(BETA * (scores - THRESHOLD))).sum(1)) / BETA
    anchors = drawn.any(1)
    return (pull + push)[anchors].mean()


def both_ways(scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Chunks as anchors among terms, and terms as anchors among chunks: search ranks chunks for a term."""
    forward = multi_similarity(scores, positives, negatives)
    return (forward + multi_similarity(scores.T, positives.T, negatives.T)) / 2
