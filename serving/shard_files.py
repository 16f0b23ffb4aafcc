"""The files of a release's shard: rows in patient order and their vectors, checked when they are read."""

from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.manifest import ShardManifest, check_file, checksum_of, read_manifest

ROWS, VECTORS = "rows.arrow", "vectors.faiss"


def write_shard(folder: Path, buckets: list[int], rows: pa.Table, vectors: NDArray[np.float32]) -> ShardManifest:
    """Write rows, and their unit vectors (rows, dimension), into a new folder."""
    folder.mkdir()
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / VECTORS))
    checksums = {name: checksum_of(folder / name) for name in (ROWS, VECTORS)}
    return ShardManifest(buckets=buckets, rows=rows.num_rows, checksums=checksums)


def load_shard(release: Path, number: int) -> tuple[pa.Table, faiss.Index]:
    """Rows (memory-mapped) and vector index of one shard, after checking both against the manifest.

    Raises ValueError naming the file that is missing, changed or of another length.
    """
    manifest = read_manifest(release).shards[number]
    folder = release / f"shard-{number}"
    for name, checksum in manifest.checksums.items():
        path = folder / name
        check_file(path, checksum)
    rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all()
    index = faiss.read_index(str(folder / VECTORS))
    if not rows.num_rows == index.ntotal == manifest.rows:
        counts = f"{rows.num_rows} rows and {index.ntotal} vectors, the manifest says {manifest.rows}"
        raise ValueError(f"{folder}: {counts}; rebuild the release")
    return rows, index
