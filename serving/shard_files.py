"""The files of a release's shard: rows in patient order, their vectors, and lists of codes where it is large."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.coarse_lists import build_lists
from serving.manifest import IndexKind, ShardManifest, check_file, checksum_of, read_manifest
from serving.vector_index import CoarseIndex, ExactIndex, VectorIndex

ROWS, VECTORS, LISTS = "rows.arrow", "vectors.npy", "lists.faiss"
LARGEST_EXACT = 50_000
"""Rows of a shard that is exact where no kind of index is asked for."""
LEAST_CODED = {"pq4": 16, "rabitq": 1, "sq8": 1}
"""Rows of a shard that is exact below, whatever is asked for: codes of 4 bits have 16 centres."""


def write_shard(
    folder: Path,
    buckets: list[int],
    rows: pa.Table,
    vectors: NDArray[np.float32],
    kind: IndexKind | None,
    lists_to_read: Callable[[Any, NDArray[np.float16]], int],
) -> ShardManifest:
    """Write rows, and their unit vectors (rows, dimension), into a new folder; `kind` None goes by their number.

    `lists_to_read` says of how many of its lists a large shard's query reads, given these and the vectors.
    """
    folder.mkdir()
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    kind = kind or ("exact" if len(rows) <= LARGEST_EXACT else "pq4")
    nprobe = 0
    if kind == "exact" or len(rows) < LEAST_CODED[kind]:
        kind = "exact"
        np.save(folder / VECTORS, vectors)
    else:
        np.save(folder / VECTORS, vectors.astype(np.float16))
        halves = np.load(folder / VECTORS, mmap_mode="r")
        lists = build_lists(halves, kind)
        nprobe = lists_to_read(lists, halves)
        faiss.write_index(lists, str(folder / LISTS))
    checksums = {file.name: checksum_of(file) for file in sorted(folder.iterdir())}
    return ShardManifest(buckets=buckets, rows=rows.num_rows, index=kind, nprobe=nprobe, checksums=checksums)


def load_shard(release: Path, number: int) -> tuple[pa.Table, VectorIndex]:
    """Rows and vectors of one shard, both mapped, after checking every file against the manifest.

    Raises ValueError naming the file that is missing, changed or of another length.
    """
    manifest = read_manifest(release).shards[number]
    folder = release / f"shard-{number}"
    for name, checksum in manifest.checksums.items():
        check_file(folder / name, checksum)
    rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all()
    vectors = np.load(folder / VECTORS, mmap_mode="r")
    if not rows.num_rows == len(vectors) == manifest.rows:
        counts = f"{rows.num_rows} rows and {len(vectors)} vectors, the manifest says {manifest.rows}"
        raise ValueError(f"{folder}: {counts}; rebuild the release")
    if manifest.index == "exact":
        return rows, ExactIndex(vectors)
    return rows, CoarseIndex(faiss.read_index(str(folder / LISTS)), vectors, manifest.nprobe)
