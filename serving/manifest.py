"""A release on disk, read and checked: what a search needs of one encoder and one store version, cut into shards.

It never changes once written.

    release.json            written last: a folder without it is not a release
    encoder/                a copy of the encoder, unless it is the bundled one
    shard-<i>/rows.arrow    chunks ordered by (bucket, patient), with their Lance row ids; memory-mapped
    shard-<i>/vectors.faiss exact inner products of normalised vectors, in the order of the rows

Words are searched in the store's full text index at the recorded version, so the store must outlive the release.
"""

import hashlib
from pathlib import Path
from typing import Literal

import faiss
import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from corpus.store import Store
from corpus.tables import N_BUCKETS

MANIFEST = "release.json"
ROWS, VECTORS = "rows.arrow", "vectors.faiss"


class ShardManifest(BaseModel):
    """One shard: its buckets, how many rows lie in them, and the SHA-256 of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    buckets: list[int]
    rows: int
    checksums: dict[str, str]


class ReleaseManifest(BaseModel):
    """What a release was built from and how it is cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    encoder: str
    """`bundled`, or the folder of the copy, relative to the release."""
    encoder_fingerprint: str
    number_format: str
    metric: Literal["cosine"] = "cosine"
    dimension: int
    store: str
    store_id: str
    chunks_version: int
    shards: list[ShardManifest]

    @property
    def id(self) -> str:
        """16 hex digits that name this content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def shard_of_bucket(self) -> NDArray[np.int64]:
        """Shard number of each of the `N_BUCKETS` buckets."""
        table = np.full(N_BUCKETS, -1)
        for number, shard in enumerate(self.shards):
            table[shard.buckets] = number
        return table


def read_manifest(release: Path) -> ReleaseManifest:
    """The release's manifest. Raises ValueError naming the file when there is none or it cannot be read."""
    path = release / MANIFEST
    try:
        return ReleaseManifest.model_validate_json(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; this folder is not a finished release") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def load_shard(release: Path, number: int) -> tuple[pa.Table, faiss.Index]:
    """Rows (memory-mapped) and vector index of one shard, after checking both against the manifest.

    Raises ValueError naming the file that is missing, changed or of another length.
    """
    manifest = read_manifest(release).shards[number]
    folder = release / f"shard-{number}"
    for name, checksum in manifest.checksums.items():
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path}: missing; rebuild the release")
        if sha256(path) != checksum:
            raise ValueError(f"{path}: its SHA-256 is not the manifest's; rebuild the release")
    rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all()
    index = faiss.read_index(str(folder / VECTORS))
    if not rows.num_rows == index.ntotal == manifest.rows:
        counts = f"{rows.num_rows} rows and {index.ntotal} vectors, the manifest says {manifest.rows}"
        raise ValueError(f"{folder}: {counts}; rebuild the release")
    return rows, index


def open_chunks(manifest: ReleaseManifest) -> lance.LanceDataset:
    """The store's chunks at the release's version. Raises ValueError when they are gone."""
    return _open(manifest, "chunks.lance", manifest.chunks_version)


def _open(manifest: ReleaseManifest, table: str, version: int) -> lance.LanceDataset:
    store = Store(manifest.store)
    try:
        current = store.id
    except FileNotFoundError:
        raise ValueError(f"{store.folder}: the store of the release is not there; rebuild the release") from None
    if current != manifest.store_id:
        raise ValueError(f"{store.folder}: written anew since the release was built; rebuild the release")
    try:
        return lance.dataset(str(store.folder / table), version=version)
    except (ValueError, OSError) as error:
        raise ValueError(f"{store.folder / table}: no version {version}; rebuild the release") from error


def sha256(path: Path) -> str:
    """The file's SHA-256 as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
