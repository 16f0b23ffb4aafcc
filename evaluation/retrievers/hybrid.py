"""Words and meaning together: BM25 and cosine, fused as the service fuses them."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from evaluation.retrievers.base import Bench, Scorer
from serving.fusion import convex, reciprocal_rank


class _Fused(Scorer):
    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        lexical, dense = bench.retriever("bm25"), bench.retriever(f"dense:{argument}")
        assert isinstance(lexical, Scorer)
        assert isinstance(dense, Scorer)
        self._lexical, self._dense, self.fingerprints = lexical, dense, dense.fingerprints

    def _scored(self, queries: Sequence[int]) -> np.ndarray:
        return self.fuse(self._lexical.scores(queries), self._dense.scores(queries))

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.fuse(self._lexical.score_texts(texts), self._dense.score_texts(texts))

    @staticmethod
    @abstractmethod
    def fuse(lexical: np.ndarray, dense: np.ndarray) -> np.ndarray:
        """Fused scores of both arrays (queries, chunks)."""


class Hybrid(_Fused):
    """A convex sum, the scores of BM25 normalised within a query and squared."""

    form = "hybrid:<encoder folder or bundled>"
    fuse = staticmethod(convex)


class ReciprocalRank(_Fused):
    """Reciprocal rank fusion, for which scores are only an order."""

    form = "rrf:<encoder folder or bundled>"
    fuse = staticmethod(reciprocal_rank)
