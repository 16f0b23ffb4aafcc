"""A corpus to vectors on Ray Data: each worker holds the encoder and takes batches of passages."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import ray

from encoders.workers import WorkerSettings

Kind = Literal["passage", "query"]
BATCH_ROWS = 256
"""Enough to sort by length before cutting into the encoder's own batches."""


class PassageEncoder(Protocol):
    """What encodes texts, whichever library runs it."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever changes its vectors."""

    def to(self, device: str) -> Any:
        """Itself, moved there."""

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (n, dimension)."""

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (n, dimension)."""


def encode_corpus(
    texts: ray.data.Dataset, load: Callable[[], PassageEncoder], workers: WorkerSettings, kind: Kind = "passage"
) -> Iterator[pa.Table]:
    """The dataset's tables with their `text` column replaced by `vector`, float32 (rows, dimension)."""
    encoded = texts.map_batches(
        _EncodeBatch,
        fn_constructor_args=(load, workers.use_gpu, kind),
        batch_size=BATCH_ROWS,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers.number),
        num_cpus=workers.cpus,
        num_gpus=1 if workers.use_gpu else 0,
    )
    return (table for table in encoded.iter_batches(batch_size=None, batch_format="pyarrow") if len(table))


class _EncodeBatch:
    def __init__(self, load: Callable[[], PassageEncoder], use_gpu: bool, kind: Kind) -> None:
        encoder = load().to("cuda" if use_gpu else "cpu")
        self._encode = encoder.encode_passages if kind == "passage" else encoder.encode_queries

    def __call__(self, batch: pa.Table) -> pa.Table:
        vectors = self._encode(batch["text"].to_pylist())
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return batch.drop_columns("text").append_column("vector", column)
