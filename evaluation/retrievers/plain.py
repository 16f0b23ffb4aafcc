"""Any model of sentence-transformers, run by that library: its own prompts, pooling and further layers."""

from collections.abc import Sequence

import numpy as np

from evaluation.retrievers.base import Bench, Scorer
from evaluation.retrievers.dense import unit


class SentenceTransformers(Scorer):
    """Cosine; queries and passages are encoded with the prompts that the model names for them."""

    form = "sentence-transformers:<folder or hub name>"

    def __init__(self, bench: Bench, argument: str) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(bench, argument)
        try:
            self._model = SentenceTransformer(argument)
        except (OSError, ValueError) as error:
            raise ValueError(f"{argument}: sentence-transformers cannot load it: {error}") from None
        texts = list(bench.benchmark.chunk_texts)
        bench.progress(f"{argument}: encoding {len(texts)} chunks")
        self._chunks = unit(self._model.encode_document(texts, convert_to_numpy=True))

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        return unit(self._model.encode_query(list(texts), convert_to_numpy=True)) @ self._chunks.T
