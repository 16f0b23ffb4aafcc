"""A corpus to vectors on Ray Data: each worker holds the encoder and takes batches of texts."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import ray

from encoders.kept_vectors import Encode, Kind, Load
from encoders.workers import WorkerSettings

BATCH_ROWS = 256
"""Enough to sort by length before cutting into the encoder's own batches."""


def encode_corpus(
    texts: ray.data.Dataset, load: Load, workers: WorkerSettings, kind: Kind = "passage"
) -> Iterator[pa.Table]:
    """The dataset's tables with their `text` column replaced by `vector`, float32 (rows, dimension)."""
    encoded = texts.map_batches(
        _EncodeBatch,
        fn_constructor_args=(load, workers.use_gpu, kind),
        batch_size=BATCH_ROWS,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers.number),
        **workers.actor_options(),
    )
    return (table for table in encoded.iter_batches(batch_size=None, batch_format="pyarrow") if len(table))


def encode_on(workers: WorkerSettings, progress: Callable[[str, int, int], None]) -> Encode:
    """What encodes a list of texts on Ray workers."""

    def encode(name: str, load: Load, texts: Sequence[str], kind: Kind) -> np.ndarray:
        table = pa.table({"at": range(len(texts)), "text": texts})
        blocks = [table.slice(at, BATCH_ROWS) for at in range(0, len(table), BATCH_ROWS)]
        needed = workers.model_copy(update={"number": min(workers.number, len(blocks))})
        vectors: np.ndarray | None = None
        for encoded in encode_corpus(ray.data.from_arrow(blocks), load, needed, kind):
            of_table = encoded["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            of_table = of_table.reshape(len(encoded), -1)
            if vectors is None:
                vectors = np.empty((len(texts), of_table.shape[1]), np.float32)
            vectors[encoded["at"].to_numpy()] = of_table
            progress(f"{'chunks' if kind == 'passage' else 'terms'} encoded with {name}", len(encoded), len(texts))
        assert vectors is not None
        return vectors

    return encode


class _EncodeBatch:
    def __init__(self, load: Load, use_gpu: bool, kind: Kind) -> None:
        encoder = load().to("cuda" if use_gpu else "cpu")
        self._encode = encoder.encode_passages if kind == "passage" else encoder.encode_queries

    def __call__(self, batch: pa.Table) -> pa.Table:
        vectors = self._encode(batch["text"].to_pylist())
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return batch.drop_columns("text").append_column("vector", column)
