"""Words and meaning together: a convex sum of BM25 and cosine, each normalised within a query."""

from dataclasses import dataclass

import numpy as np

from evaluation.retrievers.base import Retriever, Scores
from evaluation.retrievers.bm25 import Bm25
from evaluation.retrievers.dense import Dense
from serving.fusion import DEFAULT_LEXICAL_WEIGHT, convex


@dataclass(frozen=True)
class Hybrid(Retriever):
    """`weight` is the share of BM25."""

    form = "hybrid:<encoder folder or bundled>"
    encoder: str
    weight: float = DEFAULT_LEXICAL_WEIGHT

    def score(self, scores: Scores) -> np.ndarray:
        lexical, dense = scores.of(Bm25()), scores.of(Dense(self.encoder))
        return convex(lexical, dense, self.weight)
