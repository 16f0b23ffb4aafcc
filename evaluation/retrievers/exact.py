"""Exact match: whether a chunk holds the query, word for word."""

from collections.abc import Sequence

import numpy as np

from evaluation.retrievers.base import Bench, Scorer
from evaluation.retrievers.bm25 import words


class Exact(Scorer):
    """How often the query's words stand in a chunk in their order; case and punctuation do not count."""

    form = "exact"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        self._chunks = list(map(_spaced, bench.benchmark.chunk_texts))

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        phrases = list(map(_spaced, texts))
        return np.array(
            [[chunk.count(phrase) if phrase else 0 for chunk in self._chunks] for phrase in phrases], np.float32
        )


def _spaced(text: str) -> str:
    # Each word with two spaces of its own, so that a phrase that follows itself counts twice.
    return "".join(f" {word} " for word in words(text))
