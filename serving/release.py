"""Building a release from the store: buckets to shards, rows in patient order, vectors beside their rows.

Apart from the reading side (`serving.manifest`), because this one knows encoders and so loads torch, which a shard's
replica has no use for.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpus.store import Store
from corpus.tables import CHUNK_SCHEMA, N_BUCKETS
from encoders.number_format import NumberFormat, vectors_name
from encoders.spec import BUNDLED, read_spec, resolve
from encoders.spec import fingerprint as fingerprint_of
from serving.coarse_lists import lists_to_read, phrases
from serving.expansion import write_synonyms
from serving.lexical import index_text
from serving.manifest import MANIFEST, IndexKind, ReleaseManifest, ShardManifest, read_manifest
from serving.shard_files import write_shard
from serving.vectors import unit_vectors

EncodeQueries = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts to vectors (texts, dimension)."""


def searchable_chunks(store: Store) -> lance.LanceDataset:
    """The chunks as they are now, their words indexed, the notes by id as well; for `build_release`."""
    if not any("note_id" in index.field_names for index in store.notes().describe_indices()):
        store.index_notes()
    index_text(store.chunks())
    return store.chunks()


def build_release(
    store: Store,
    chunks: lance.LanceDataset,
    fingerprint: str,
    encoder: str | Path,
    encode_queries: EncodeQueries,
    output: Path,
    shards: int,
    kind: IndexKind | None = None,
    synonyms: Iterable[tuple[str, bool, Sequence[str]]] | None = None,
    number_format: NumberFormat = "fp32",
) -> None:
    """Write the release of these chunks of the store and their vectors in this number format into `output`.

    `encoder` is "bundled" or a folder, `encode_queries` what it does with queries: phrases of a large shard's texts are
    asked as such, to find out how it must be read. `shards` lists of buckets hold about the same number of rows each.
    Raises ValueError when the encoder is another one than the vectors', or a chunk has no usable vector. Chunks that
    were replaced since need none: their replacement is followed. For `kind` and `synonyms` see `write_shard` and
    `write_synonyms`.
    """
    folder = resolve(str(encoder))
    spec = read_spec(folder)
    _require_fingerprint(fingerprint, fingerprint_of(folder, spec), f"encoder {encoder}")
    name = vectors_name(fingerprint, number_format)
    if not store.vectors_path(name).exists():
        where = store.vectors_path(name)
        raise ValueError(f"{where}: not there; encode the store with encoder {fingerprint} in {number_format} first")
    output.mkdir(parents=True, exist_ok=True)
    if str(encoder) != BUNDLED:
        shutil.copytree(folder, output / "encoder")
    vectors = store.vectors(name)
    replaced = _replaced(store, chunks)
    manifest = ReleaseManifest(
        encoder=BUNDLED if str(encoder) == BUNDLED else "encoder",
        encoder_fingerprint=fingerprint,
        number_format=number_format,
        dimension=spec.dimension,
        store=str(store.folder.resolve()),
        store_id=store.id,
        chunks_version=chunks.version,
        synonyms="" if synonyms is None else write_synonyms(synonyms, output),
        shards=[
            _build_shard(
                chunks, replaced, vectors, buckets, spec.dimension, output / f"shard-{number}", kind, encode_queries
            )
            for number, buckets in enumerate(_split_buckets(chunks, shards))
        ],
    )
    (output / MANIFEST).write_text(manifest.model_dump_json(indent=1))


def find_encoder(release: Path) -> str:
    """What `Encoder.load` takes for the release's encoder. Raises ValueError when it is not the index's."""
    manifest = read_manifest(release)
    name = BUNDLED if manifest.encoder == BUNDLED else str(release / manifest.encoder)
    folder = resolve(name)
    found = fingerprint_of(folder, read_spec(folder))
    _require_fingerprint(manifest.encoder_fingerprint, found, f"release {release}")
    return name


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


def _replaced(store: Store, chunks: lance.LanceDataset) -> pa.Array:
    """Ids of the chunks that the store does not have any longer as they are here."""
    key = ["chunk_id", "version"]
    here, now = (table.to_table(columns=key) for table in (chunks, store.chunks()))
    return here.join(now, key, join_type="left anti")["chunk_id"].combine_chunks()


def _build_shard(
    chunks: lance.LanceDataset,
    replaced: pa.Array,
    vectors: lance.LanceDataset,
    buckets: list[int],
    dimension: int,
    folder: Path,
    kind: IndexKind | None,
    encode_queries: EncodeQueries,
) -> ShardManifest:
    within = f"bucket BETWEEN {buckets[0]} AND {buckets[-1]}" if buckets else "false"
    rows = chunks.to_table(columns=CHUNK_SCHEMA.names, with_row_id=True, filter=within)
    rows = rows.filter(pc.invert(pc.is_in(rows["chunk_id"], replaced)))
    order = [("bucket", "ascending"), ("patient_id", "ascending"), ("note_id", "ascending")]
    rows = rows.set_column(rows.schema.get_field_index("text"), "text", rows["text"].cast(pa.large_string()))
    rows = rows.sort_by([*order, ("char_start", "ascending")]).rename_columns({"_rowid": "row_id"})
    batches = vectors.to_batches(columns=["chunk_id", "version", "vector"], batch_size=65_536)

    def measured(lists: Any, halves: NDArray[np.float16]) -> int:
        queries = encode_queries(phrases(rows["text"])).astype(np.float32)
        return lists_to_read(lists, halves, queries / np.linalg.norm(queries, axis=1, keepdims=True))

    return write_shard(folder, buckets, rows, unit_vectors(rows, batches, dimension, vectors.uri), kind, measured)
