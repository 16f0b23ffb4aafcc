"""The store: Lance tables in one folder. `notes` is the truth; `chunks` and `vectors/<name>` derive from it.

Vectors are named after their encoder's fingerprint, and their number format where it is not fp32.
"""

import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.chunking import ChunkingSettings
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA

STORE_ID = "store_id"
PURGED = "purged.json"
CHUNKING = "chunking.json"


def vector_schema(dimension: int) -> pa.Schema:
    """One row a chunk: its id, the version of its note and its vector, float32 (dimension,)."""
    vector = pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False)
    return pa.schema([CHUNK_SCHEMA.field("chunk_id"), CHUNK_SCHEMA.field("version"), vector])


class Purged(NamedTuple):
    """Versions of the chunks and of the removed: what was removed before them is in none of the store's files."""

    chunks_version: int = 0
    removed_version: int = 0


class Store:
    """A folder with `notes.lance`, `chunks.lance` and `vectors/<name>.lance`."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def notes(self) -> lance.LanceDataset:
        """The note table. Raises FileNotFoundError when the store is not there."""
        return self._open(self.notes_path)

    def chunks(self) -> lance.LanceDataset:
        """The chunk table. Raises FileNotFoundError when the store is not there."""
        return self._open(self.chunks_path)

    def vectors(self, name: str) -> lance.LanceDataset:
        """The vectors of one encoder. Raises FileNotFoundError when that encoder has not encoded this store."""
        return self._open(self.vectors_path(name))

    def removed(self) -> lance.LanceDataset:
        """What was removed in service. Raises FileNotFoundError where nothing ever was."""
        return self._open(self.removed_path)

    @property
    def id(self) -> str:
        """Names this writing of the store: Lance numbers the versions of every writing from 1.

        Raises FileNotFoundError when the store is not there.
        """
        return (self.folder / STORE_ID).read_text()

    @property
    def state(self) -> str:
        """Another one whenever notes have come, changed or gone, and only then."""
        changed = "_row_last_updated_at_version"
        versions = self.notes().to_table(columns=[changed])[changed]
        return f"{len(versions)}-{pc.max(versions)}"

    @property
    def purged(self) -> "Purged":
        """How far back the store's files hold nothing that was removed."""
        path = self.folder / PURGED
        return Purged(**json.loads(path.read_text())) if path.exists() else Purged()

    def mark_purged(self, purged: "Purged") -> None:
        """Say that what was removed until then is in no file any more."""
        aside = self.folder / f"{PURGED}.new"
        aside.write_text(json.dumps(purged._asdict()))
        aside.replace(self.folder / PURGED)

    @property
    def chunking(self) -> ChunkingSettings:
        """How the chunks were cut. Raises FileNotFoundError when the store is not there."""
        return ChunkingSettings.model_validate_json((self.folder / CHUNKING).read_text())

    @property
    def notes_path(self) -> Path:
        return self.folder / "notes.lance"

    @property
    def chunks_path(self) -> Path:
        return self.folder / "chunks.lance"

    @property
    def removed_path(self) -> Path:
        return self.folder / "removed.lance"

    def vectors_path(self, name: str) -> Path:
        return self.folder / "vectors" / f"{name}.lance"

    def write_notes(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Replace the note table in one commit; the store is another one from then on."""
        self._write(self.notes_path, NOTE_SCHEMA, batches)
        (self.folder / STORE_ID).write_text(uuid.uuid4().hex)

    def write_chunks(self, batches: Iterable[pa.RecordBatch], chunking: ChunkingSettings) -> None:
        """Replace the chunk table in one commit; `chunking` is how they were cut."""
        (self.folder / CHUNKING).write_text(chunking.model_dump_json())
        self._write(self.chunks_path, CHUNK_SCHEMA, batches)

    def index_notes(self) -> None:
        """Make the index by which a note is found, anew where there is one."""
        self.notes().create_scalar_index("note_id", "BTREE")

    def begin_vectors(self, name: str, dimension: int) -> None:
        """Make the table of one encoder's vectors, unless it is there."""
        if not self.vectors_path(name).exists():
            self._write(self.vectors_path(name), vector_schema(dimension), [])

    def unencoded(self, name: str, chunks: lance.LanceDataset) -> tuple[int, Iterator[pa.RecordBatch]]:
        """How many of the chunks have no vector of their version yet, and these (chunk_id, version, text)."""
        key = ["chunk_id", "version"]
        done = self.vectors(name).to_table(columns=key)
        missing = chunks.to_table(columns=key, with_row_id=True).join(done, key, join_type="left anti")
        row_ids = np.sort(missing["_rowid"].to_numpy())

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in chunks.to_batches(columns=[*key, "text"], with_row_id=True) if len(row_ids) else ():
                found = batch["_rowid"].to_numpy()
                at = np.searchsorted(row_ids, found).clip(max=len(row_ids) - 1)
                yield batch.filter(pa.array(row_ids[at] == found)).drop_columns(["_rowid"])

        return len(row_ids), batches()

    def add_vectors(self, name: str, rows: pa.Table) -> None:
        """Put vectors (rows of `vector_schema`) in, in one commit, beside those of other versions of their chunks."""
        vectors = self.vectors(name)
        merge = vectors.merge_insert(["chunk_id", "version"]).when_not_matched_insert_all()
        merge.execute(rows.select(vectors.schema.names))

    def _open(self, path: Path) -> lance.LanceDataset:
        if not path.exists():
            raise FileNotFoundError(f"{path}: not there; run the job that writes it first")
        return lance.dataset(path)

    @staticmethod
    def _write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        reader = pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in batches))
        # Row ids that survive compaction cannot be switched on later.
        mode = "overwrite" if path.exists() else "create"
        lance.write_dataset(reader, path, schema=schema, mode=mode, enable_stable_row_ids=True)
