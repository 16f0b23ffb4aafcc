"""Okapi BM25 over the benchmark's chunks (Robertson et al., TREC-3; idf as Lucene has it, so never negative)."""

import re
from dataclasses import dataclass

import bm25s
import numpy as np

from evaluation.retrievers.base import Retriever, Scores


def words(text: str) -> list[str]:
    """Lower-cased word tokens, stop words kept."""
    return re.findall(r"\w+", text.lower())


@dataclass(frozen=True)
class Bm25(Retriever):
    """Scores are 0 for chunks that share no word with the query."""

    form = "bm25"
    k1: float = 0.9
    b: float = 0.4

    def score(self, scores: Scores) -> np.ndarray:
        benchmark = scores.benchmark
        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
        index.index([words(text) for text in benchmark.chunk_texts], show_progress=False)
        # bm25s refuses a query without tokens.
        silent = np.zeros(len(benchmark.chunk_ids), dtype=np.float32)
        queries = [words(text) for text in benchmark.query_texts]
        return np.stack([index.get_scores(query) if query else silent for query in queries])
