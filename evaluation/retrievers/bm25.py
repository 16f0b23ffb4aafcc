"""Okapi BM25 over the benchmark's chunks (Robertson et al., TREC-3; idf as Lucene has it, so never negative)."""

import re
from collections.abc import Sequence

import bm25s
import numpy as np

from evaluation.retrievers.base import Bench, Scorer

K1, B = 0.9, 0.4


def words(text: str) -> list[str]:
    """Lower-cased word tokens, stop words kept."""
    return re.findall(r"\w+", text.lower())


class Bm25(Scorer):
    """Scores are 0 for chunks that share no word with the query."""

    form = "bm25"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
        corpus = [words(text) for text in bench.benchmark.chunk_texts]
        if not any(corpus):
            raise ValueError(f"{bench.benchmark.name}: no word in any chunk")
        self._index.index(corpus, show_progress=False)

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        # bm25s refuses a query without tokens.
        silent = np.zeros(len(self.bench.benchmark.chunk_ids), dtype=np.float32)
        return np.stack([self._index.get_scores(query) if (query := words(text)) else silent for text in texts])
