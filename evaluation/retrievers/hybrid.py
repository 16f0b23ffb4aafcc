"""Words and meaning together: BM25 and cosine, fused as the service fuses them."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from evaluation.retrievers.base import Bench, Scorer
from serving.fusion import convex, letters_held, reciprocal_rank


class _Fused(Scorer):
    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        lexical, dense = bench.retriever("bm25"), bench.retriever(f"dense:{argument}")
        assert isinstance(lexical, Scorer)
        assert isinstance(dense, Scorer)
        self._lexical, self._dense, self.fingerprints = lexical, dense, dense.fingerprints

    def _scored(self, queries: Sequence[int]) -> np.ndarray:
        texts = [self.bench.benchmark.query_texts[query] for query in queries]
        return self.fuse(texts, self._lexical.scores(queries), self._dense.scores(queries))

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.fuse(texts, self._lexical.score_texts(texts), self._dense.score_texts(texts))

    @abstractmethod
    def fuse(self, texts: Sequence[str], lexical: np.ndarray, dense: np.ndarray) -> np.ndarray:
        """Fused scores of both arrays (queries, chunks)."""


class Hybrid(_Fused):
    """A convex sum; the scores of BM25 are normalised within a query and squared."""

    form = "hybrid:<encoder folder or bundled>"

    def fuse(self, texts: Sequence[str], lexical: np.ndarray, dense: np.ndarray) -> np.ndarray:
        chunks, coverage = self.bench.benchmark.chunk_texts, []
        for text, scores in zip(texts, lexical, strict=True):
            best = scores.max()
            matches = np.flatnonzero(scores == best) if best > 0 else ()
            coverage.append(letters_held(text, [chunks[match] for match in matches]))
        return convex(lexical, dense, np.array(coverage))


class ReciprocalRank(_Fused):
    """Reciprocal rank fusion, for which scores are only an order."""

    form = "rrf:<encoder folder or bundled>"

    def fuse(self, texts: Sequence[str], lexical: np.ndarray, dense: np.ndarray) -> np.ndarray:
        return reciprocal_rank(lexical, dense)
