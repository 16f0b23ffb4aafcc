"""Training losses over a matrix of cosines, by name."""

from typing import Literal

from encoders.losses.base import Loss
from encoders.losses.info_nce import InfoNce
from encoders.losses.multi_similarity import MultiSimilarity
from encoders.losses.multi_similarity_as_published import MultiSimilarityAsPublished

LossName = Literal["multi_similarity", "multi_similarity_as_published", "info_nce"]
LOSSES: dict[LossName, type[Loss]] = {
    "multi_similarity": MultiSimilarity,
    "multi_similarity_as_published": MultiSimilarityAsPublished,
    "info_nce": InfoNce,
}

__all__ = ["LOSSES", "Loss", "LossName"]
