"""Vectors of the store beside the rows they belong to."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def unit_vectors(rows: pa.Table, vectors: Iterable[pa.RecordBatch], dimension: int, where: str) -> NDArray[np.float32]:
    """Normalised vectors (rows, dimension) in the order of `rows` (chunk_id, version), out of batches of the store's.

    Raises ValueError, naming `where` they come from, when a row has no usable vector of its version.
    """
    found = np.full((rows.num_rows, dimension), np.nan, np.float32)
    note_version = rows["version"].to_numpy()
    for batch in vectors:
        batch = batch.filter(batch["vector"].is_valid())
        if batch["vector"].type.list_size != dimension:
            message = f"vectors have {batch['vector'].type.list_size} dimensions, the encoder {dimension}"
            raise ValueError(f"{where}: {message}")
        at = pc.index_in(batch["chunk_id"], value_set=rows["chunk_id"])
        used = np.flatnonzero(at.is_valid())
        place = at.to_numpy(zero_copy_only=False)[used].astype(np.int64)
        current = batch["version"].to_numpy()[used] == note_version[place]
        values = batch["vector"].flatten().to_numpy().reshape(-1, dimension)
        found[place[current]] = values[used[current]]
    length = np.linalg.norm(found, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        first = rows["chunk_id"][int(bad[0])]
        message = f"{len(bad)} chunks have no usable vector of their note's version, the first is {first}"
        raise ValueError(f"{where}: {message}; encode the store again")
    found /= length  # a shard of these can be most of the memory
    return found
