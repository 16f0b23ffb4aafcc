"""Cosine between the vectors of an encoder, compared exactly, without an index."""

from collections.abc import Sequence

import numpy as np

from encoders.encoder import Encoder
from evaluation.retrievers.base import Bench, Scorer


class Dense(Scorer):
    """One of this project's encoders, or a folder in the layout of sentence-transformers that it can read."""

    form = "dense:<encoder folder or bundled>"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        self._encoder = Encoder.load(argument)
        self._chunks = unit(bench.encode(argument, bench.benchmark))

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        return unit(self._encoder.encode_queries(texts)) @ self._chunks.T


def unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1, as cosines need them."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
