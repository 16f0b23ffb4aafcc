"""A release: everything a search needs of one encoder and one store version, cut into shards. Immutable.

    release.json            written last: a folder without it is not a release
    encoder/                a copy of the encoder, unless it is the bundled one
    shard-<i>/rows.arrow    chunks ordered by (bucket, patient), with their Lance row ids; memory-mapped
    shard-<i>/vectors.faiss exact inner products of normalised vectors, in the order of the rows

Words are searched in the store's full text index at the recorded version, so the store must outlive the release.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any, Literal

import faiss
import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from corpus.tables import CHUNK_SCHEMA, N_BUCKETS
from encoders.encoder import Encoder
from encoders.spec import BUNDLED, read_spec, resolve
from encoders.spec import fingerprint as fingerprint_of
from serving.lexical import index_text

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
    chunks_version: int
    notes_version: int
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


def build_release(store: Path, fingerprint: str, encoder: str | Path, output: Path, shards: int) -> None:
    """Write the release of `<store>/chunks.lance` and `<store>/vectors/<fingerprint>.lance` into `output`.

    `encoder` is "bundled" or a folder; `shards` lists of buckets hold about the same number of rows each. Raises
    ValueError when the encoder is another one than the vectors', or a chunk has no current, usable vector.
    """
    folder = resolve(str(encoder))
    spec = read_spec(folder)
    _require_fingerprint(fingerprint, fingerprint_of(folder, spec), f"encoder {encoder}")
    chunks, notes = (lance.dataset(str(store / name)) for name in ("chunks.lance", "notes.lance"))
    vectors_path = store / "vectors" / f"{fingerprint}.lance"
    if not vectors_path.exists():
        raise ValueError(f"{vectors_path}: not there; encode the store with encoder {fingerprint} first")
    index_text(chunks)
    if not any("note_id" in index.field_names for index in notes.describe_indices()):
        notes.create_scalar_index("note_id", "BTREE")
    output.mkdir(parents=True, exist_ok=True)
    if str(encoder) != BUNDLED:
        shutil.copytree(folder, output / "encoder")
    vectors = lance.dataset(str(vectors_path))
    manifest = ReleaseManifest(
        encoder=BUNDLED if str(encoder) == BUNDLED else "encoder",
        encoder_fingerprint=fingerprint,
        number_format=Encoder.number_format,
        dimension=spec.dimension,
        store=str(store.resolve()),
        chunks_version=chunks.version,
        notes_version=notes.version,
        shards=[
            _build_shard(chunks, vectors, buckets, spec.dimension, output / f"shard-{number}")
            for number, buckets in enumerate(_split_buckets(chunks, shards))
        ],
    )
    (output / MANIFEST).write_text(manifest.model_dump_json(indent=1))


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


def encoder_name(release: Path, manifest: ReleaseManifest) -> str:
    """What `Encoder.load` takes for the release's encoder. Raises ValueError when it is not the index's."""
    name = BUNDLED if manifest.encoder == BUNDLED else str(release / manifest.encoder)
    folder = resolve(name)
    found = fingerprint_of(folder, read_spec(folder))
    _require_fingerprint(manifest.encoder_fingerprint, found, f"release {release}")
    return name


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
        if _sha256(path) != checksum:
            raise ValueError(f"{path}: its SHA-256 is not the manifest's; rebuild the release")
    rows = pa.ipc.open_file(pa.memory_map(str(folder / ROWS))).read_all()
    index = faiss.read_index(str(folder / VECTORS))
    if not rows.num_rows == index.ntotal == manifest.rows:
        counts = f"{rows.num_rows} rows and {index.ntotal} vectors, the manifest says {manifest.rows}"
        raise ValueError(f"{folder}: {counts}; rebuild the release")
    return rows, index


def open_notes(manifest: ReleaseManifest) -> lance.LanceDataset:
    """The store's notes at the release's version. Raises ValueError when that version is gone."""
    path = Path(manifest.store) / "notes.lance"
    try:
        return lance.dataset(str(path), version=manifest.notes_version)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: no version {manifest.notes_version}; rebuild the release") from error


def read_note(notes: lance.LanceDataset, note_id: str) -> dict[str, Any] | None:
    """The note with this id, its columns as `NOTE_SCHEMA` has them."""
    # An expression, not SQL: an id cannot become syntax.
    found = notes.to_table(filter=pc.field("note_id") == note_id, limit=1).to_pylist()
    return found[0] if found else None


def _require_fingerprint(expected: str, found: str, where: str) -> None:
    if expected != found:
        raise ValueError(f"{where}: the vectors are of encoder {expected}, the encoder there is {found}")


def _split_buckets(chunks: lance.LanceDataset, shards: int) -> list[list[int]]:
    """Consecutive buckets cut where the running count of rows passes each shard's equal part."""
    buckets = chunks.to_table(columns=["bucket"])["bucket"].to_numpy()
    # One more per bucket, so that buckets without rows are spread too.
    before = np.cumsum(np.bincount(buckets, minlength=N_BUCKETS) * N_BUCKETS + 1)
    shard = np.minimum((before - 1) * shards // before[-1], shards - 1)
    return [np.flatnonzero(shard == number).tolist() for number in range(shards)]


def _build_shard(
    chunks: lance.LanceDataset,
    vectors: lance.LanceDataset,
    buckets: list[int],
    dimension: int,
    folder: Path,
) -> ShardManifest:
    folder.mkdir()
    within = f"bucket BETWEEN {buckets[0]} AND {buckets[-1]}" if buckets else "false"
    rows = chunks.to_table(columns=CHUNK_SCHEMA.names, with_row_id=True, filter=within)
    order = [("bucket", "ascending"), ("patient_id", "ascending"), ("note_id", "ascending")]
    rows = rows.set_column(rows.schema.get_field_index("text"), "text", rows["text"].cast(pa.large_string()))
    rows = rows.sort_by([*order, ("char_start", "ascending")]).rename_columns({"_rowid": "row_id"})
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    index = faiss.IndexFlatIP(dimension)
    index.add(_vectors_of(rows, vectors, dimension))
    faiss.write_index(index, str(folder / VECTORS))
    checksums = {name: _sha256(folder / name) for name in (ROWS, VECTORS)}
    return ShardManifest(buckets=buckets, rows=rows.num_rows, checksums=checksums)


def _vectors_of(rows: pa.Table, vectors: lance.LanceDataset, dimension: int) -> NDArray[np.float32]:
    """Normalised vectors (rows, dimension) in the rows' order."""
    found = np.full((rows.num_rows, dimension), np.nan, np.float32)
    note_version = rows["version"].to_numpy()
    for batch in vectors.to_batches(columns=["chunk_id", "version", "vector"], batch_size=65_536):
        batch = batch.filter(batch["vector"].is_valid())
        if batch["vector"].type.list_size != dimension:
            message = f"vectors have {batch['vector'].type.list_size} dimensions, the encoder {dimension}"
            raise ValueError(f"{vectors.uri}: {message}")
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
        raise ValueError(f"{vectors.uri}: {message}; encode the store again")
    return found / length


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
