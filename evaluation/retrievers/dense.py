"""Cosine between the vectors of an encoder."""

from dataclasses import dataclass

import numpy as np

from encoders.encoder import Encoder
from evaluation.retrievers.base import Retriever, Scores


@dataclass(frozen=True)
class Dense(Retriever):
    """Every chunk and query is encoded once and compared exactly, without an index."""

    form = "dense:<encoder folder or bundled>"
    encoder: str

    def score(self, scores: Scores) -> np.ndarray:
        encoder = Encoder.load(self.encoder)

        def report(done: int, total: int) -> None:
            if done == total or done % 320 == 0:
                scores.progress(f"{self.encoder}: {done} of {total} chunks encoded")

        chunks = encoder.encode_passages(scores.benchmark.chunk_texts, report)
        queries = encoder.encode_queries(scores.benchmark.query_texts)
        return _unit(queries) @ _unit(chunks).T


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
