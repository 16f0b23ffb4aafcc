"""A release on disk, read and checked: what a search needs of one encoder and one store version, cut into shards.

It never changes once written, but that a purge replaces it by one without what was removed (`serving.purging`).

    release.json            written last: a folder without it is not a release
    encoder/                a copy of the encoder, unless it is the bundled one
    synonyms.marisa         other names of what a query names, where a knowledge graph was given
    shard-<i>/rows.arrow    chunks ordered by (bucket, patient), with their Lance row ids; memory-mapped
    shard-<i>/vectors.npy   normalised vectors in the order of the rows: float32, or float16 beside lists of codes
    shard-<i>/lists.faiss   lists of codes of a large shard (FAISS IVF)

Words are searched in the store's full text index, so the store must outlive the release.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

import lance
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from corpus.store import Store
from corpus.tables import N_BUCKETS
from encoders.number_format import NumberFormat, vectors_name

MANIFEST = "release.json"


IndexKind = Literal["exact", "sq8", "rabitq", "pq4"]
"""Every vector scored, or lists of codes (see serving.coarse_lists)."""


class ShardManifest(BaseModel):
    """One shard: its buckets, how many rows lie in them, and the SHA-256 of its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    buckets: list[int]
    rows: int
    index: IndexKind = "exact"
    nprobe: int = 0
    """Of the lists of codes those that a query reads."""
    checksums: dict[str, str]


class ReleaseManifest(BaseModel):
    """What a release was built from and how it is cut."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = 2
    encoder: str
    """`bundled`, or the folder of the copy, relative to the release."""
    encoder_fingerprint: str
    number_format: NumberFormat
    """In which chunks were encoded and queries are."""
    metric: Literal["cosine"] = "cosine"
    dimension: int
    store: str
    store_id: str
    chunks_version: int
    purged_version: int = 0
    """Of the chunks: what the store had removed or replaced before has been taken out of the release."""
    synonyms: str = ""
    """SHA-256 of the file of synonyms (`serving.expansion`); empty where there is none."""
    shards: list[ShardManifest]

    @cached_property
    def id(self) -> str:
        """16 hex digits that name this content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def vectors_name(self) -> str:
        """What the store keeps the vectors under."""
        return vectors_name(self.encoder_fingerprint, self.number_format)

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


def open_chunks(manifest: ReleaseManifest) -> lance.LanceDataset:
    """The chunks of the release's store as they are now.

    Raises ValueError when they are not there, are others than the release's, or were purged since it was built.
    """
    store, rebuild = Store(manifest.store), "rebuild the release"
    try:
        current, chunks = store.id, store.chunks()
    except FileNotFoundError:
        raise ValueError(f"{store.folder}: the store of the release is not there; {rebuild}") from None
    if current != manifest.store_id:
        raise ValueError(f"{store.folder}: written anew since the release was built; {rebuild}")
    if chunks.version < manifest.chunks_version:
        there = f"version {chunks.version}, the release is of {manifest.chunks_version}"
        raise ValueError(f"{store.chunks_path}: of {there}; {rebuild}")
    if max(manifest.chunks_version, manifest.purged_version) < store.purged.chunks_version:
        raise ValueError(f"{store.folder}: purged since the release was built, which may hold what is gone; {rebuild}")
    return chunks


def checksum_of(path: Path) -> str:
    """The file's SHA-256 as hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, checksum: str) -> None:
    """Raises ValueError when the file is missing or not what the manifest says."""
    if not path.is_file():
        raise ValueError(f"{path}: missing; rebuild the release")
    if checksum_of(path) != checksum:
        raise ValueError(f"{path}: its SHA-256 is not the manifest's; rebuild the release")
