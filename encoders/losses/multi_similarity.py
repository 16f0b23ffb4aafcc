"""Multi-similarity with a log for each anchor, as its paper has it.

Wang et al. 2019 (arXiv 1904.06627), equation 15 with the pair mining of equations 11 and 12, and DR.EHR's
hyper-parameters (arXiv 2507.18583). DR.EHR's own code differs: see `multi_similarity_as_published`.
"""

import torch

from encoders.losses.base import PerAnchor

ALPHA, BETA, THRESHOLD, MARGIN = 2.0, 50.0, 0.5, 0.1


class MultiSimilarity(PerAnchor):
    """Pulls positives further than the hardest negative is, pushes negatives nearer than the hardest positive is."""

    def of_anchors(self, scores: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        hardest_negative = scores.masked_fill(negatives == 0, -torch.inf).amax(1, keepdim=True)
        hardest_positive = scores.masked_fill(positives == 0, torch.inf).amin(1, keepdim=True)
        kept_positives = positives * (scores - MARGIN < hardest_negative)
        kept_negatives = negatives * (scores + MARGIN > hardest_positive)
        pull = torch.log1p((kept_positives * torch.exp(-ALPHA * (scores - THRESHOLD))).sum(1)) / ALPHA
        push = torch.log1p((kept_negatives * torch.exp(BETA * (scores - THRESHOLD))).sum(1)) / BETA
        return pull + push
