"""Cosine between the vectors of an encoder, compared exactly, without an index."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from encoders.encoder import Encoder
from encoders.kept_vectors import TextEncoder
from encoders.plain import PlainEncoder
from encoders.spec import BUNDLED
from evaluation.retrievers.base import Bench, Scorer


class Dense(Scorer):
    """One of this project's encoders, or a folder in the layout of sentence-transformers that it can read."""

    form = "dense:<encoder folder or bundled>"
    load: ClassVar[Callable[[str], TextEncoder]] = Encoder.load

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        load = partial(type(self).load, _for_workers(argument))
        self._encoder = load()
        self.fingerprints = {f"encoder {argument}": self._encoder.fingerprint}
        name = self.form.partition(":")[0] + f":{argument}"
        vectors = bench.encode(name, load, self._encoder.fingerprint, bench.benchmark.chunk_texts)
        self._chunks = _unit(vectors)

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        return _unit(self._encoder.encode_queries(texts)) @ self._chunks.T


class SentenceTransformers(Dense):
    """Any model of that library, queries and passages with the prompts that the model names for them."""

    form = "sentence-transformers:<folder or hub name>"
    load: ClassVar[Callable[[str], TextEncoder]] = PlainEncoder.load


def _for_workers(name: str) -> str:
    """A folder from the root, for workers run in folders of their own; any other name as it is."""
    return str(Path(name).resolve()) if name != BUNDLED and Path(name).exists() else name


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
