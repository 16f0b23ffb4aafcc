"""Note files to the store, on Ray Data: read, check, chunk, commit.

Ray workers read and chunk; rows are staged until the last one is checked, and each table is one commit to Lance.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import ray
from pydantic import BaseModel, Field

from corpus.chunking import ChunkingSettings, chunk_note
from corpus.notes import parse_note
from corpus.sources import SOURCES, BadRow
from corpus.store import Store
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA, bucket_of

Progress = Callable[[str, int, int | None], None]

ERRORS_FILE = "errors.jsonl"
BATCH_ROWS = 1000

_STAGED = pa.schema(
    [
        *(field.with_nullable(True) for field in NOTE_SCHEMA),
        pa.field("file", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("column", pa.string()),
    ]
)


class NotesSettings(BaseModel):
    """Where the notes are."""

    path: str
    """A file, a folder or a glob."""
    format: Literal["jsonl", "parquet"] = "jsonl"
    max_bad_share: float = Field(default=0.5, ge=0, le=1)
    """Bad rows are set aside in an error table; above this share of all rows the job fails instead."""

    def files(self) -> list[Path]:
        """The files, sorted. Raises FileNotFoundError naming the path when there are none."""
        path = Path(self.path)
        if path.is_dir():
            found = [file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "_"))]
        elif path.is_file():
            found = [path]
        else:
            found = [Path(name) for name in path.parent.glob(path.name)]
        if not found:
            raise FileNotFoundError(f"notes.path: {self.path}: no such file or folder, or nothing in it")
        return sorted(found)


def prepare_corpus(
    notes: NotesSettings, chunking: ChunkingSettings, folder: Path, progress: Progress
) -> dict[str, int]:
    """Write the store into `folder`; the counts of notes, chunks and bad rows.

    `progress(name, done, total)` is told of rows read and notes chunked. Raises ValueError when no row is good or
    more than `max_bad_share` are bad; the first bad rows are named.
    """
    files = notes.files()
    read = ray.data.from_items([{"file": str(file)} for file in files], override_num_blocks=len(files))
    read_file = partial(_read_file, format_name=notes.format)
    staging = folder / "staging.parquet"
    with pq.ParquetWriter(staging, _STAGED) as writer:
        for table in _tables(read.map_batches(read_file, batch_size=1, batch_format="pyarrow")):
            writer.write_table(table)
            progress("rows read", len(table), None)

    staged = pads.dataset(staging, schema=_STAGED)
    errors = [*_bad_rows(staged), *_duplicates(staged)]
    duplicates = {(e["file"], e["row"]) for e in errors if e["reason"] == "duplicate_id"}
    good = staged.count_rows(filter=pc.field("reason").is_null()) - len(duplicates)
    _write_errors(errors, folder / ERRORS_FILE)
    _refuse_bad(errors, good, notes.max_bad_share)

    store = Store(folder)
    store.write_notes(_good_batches(staged, duplicates))
    staging.unlink()
    store.write_chunks(_chunks(store, chunking, progress, total=good))
    return {"notes": good, "chunks": store.chunks().count_rows(), "bad_rows": len(errors)}


def describe(errors: list[dict[str, Any]], most: int = 5) -> str:
    """The first bad rows by file, row and reason, for a person to look up."""
    lines = [
        f"{e['file']} row {e['row']}: {e['reason']}" + (f" ({e['column']})" if e["column"] else "")
        for e in errors[:most]
    ]
    more = [f"and {len(errors) - most} more"] if len(errors) > most else []
    return "; ".join(lines + more)


def read_errors(store: Path) -> list[dict[str, Any]]:
    """The error table of a store: file, row, reason and column of each bad row."""
    return [json.loads(line) for line in (store / ERRORS_FILE).read_text().splitlines()]


def _read_file(batch: pa.Table, format_name: str) -> Iterator[pa.Table]:
    path = Path(batch["file"][0].as_py())
    rows: list[dict[str, Any]] = []
    for number, raw in SOURCES[format_name]().rows(path):
        note = raw if isinstance(raw, BadRow) else parse_note(raw, source=format_name)
        values = {"reason": note.reason, "column": note.column} if isinstance(note, BadRow) else note
        rows.append({**values, "file": str(path), "row": number})
        if len(rows) == BATCH_ROWS:
            yield pa.Table.from_pylist(rows, schema=_STAGED)
            rows = []
    yield pa.Table.from_pylist(rows, schema=_STAGED)


def _bad_rows(staged: pads.Dataset) -> list[dict[str, Any]]:
    columns = ["file", "row", "reason", "column"]
    bad = staged.to_table(columns=columns, filter=~pc.field("reason").is_null())
    return bad.sort_by([("file", "ascending"), ("row", "ascending")]).to_pylist()


def _duplicates(staged: pads.Dataset) -> list[dict[str, Any]]:
    """Every good row whose note id an earlier row (by file, then row) already has."""
    ids = staged.to_table(columns=["note_id", "file", "row"], filter=pc.field("reason").is_null())
    counts = ids.group_by("note_id").aggregate([("note_id", "count")])
    repeated = counts.filter(pc.greater(counts["note_id_count"], 1))["note_id"]
    rows = ids.filter(pc.is_in(ids["note_id"], value_set=repeated.combine_chunks()))
    rows = rows.sort_by([("note_id", "ascending"), ("file", "ascending"), ("row", "ascending")])
    found: list[dict[str, Any]] = []
    previous = None
    for row in rows.to_pylist():
        if row["note_id"] == previous:
            found.append({"file": row["file"], "row": row["row"], "reason": "duplicate_id", "column": "note_id"})
        previous = row["note_id"]
    return found


def _write_errors(errors: list[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(json.dumps(error) + "\n" for error in errors))


def _refuse_bad(errors: list[dict[str, Any]], good: int, max_bad_share: float) -> None:
    total = good + len(errors)
    if good == 0:
        raise ValueError(f"no note could be read: {describe(errors) if errors else 'the files hold no rows'}")
    if len(errors) > max_bad_share * total:
        raise ValueError(
            f"{len(errors)} of {total} rows are bad, more than notes.max_bad_share={max_bad_share}: {describe(errors)}"
        )


def _good(table: pa.Table, duplicates: set[tuple[str, int]]) -> pa.Table:
    good = table.filter(pc.field("reason").is_null())
    if duplicates:
        keys = zip(good["file"].to_pylist(), good["row"].to_pylist(), strict=True)
        good = good.filter(pa.array([key not in duplicates for key in keys], pa.bool_()))
    return good.select(NOTE_SCHEMA.names).cast(NOTE_SCHEMA)


def _good_batches(staged: pads.Dataset, duplicates: set[tuple[str, int]]) -> Iterator[pa.RecordBatch]:
    for batch in staged.to_batches():
        yield from _good(pa.Table.from_batches([batch]), duplicates).to_batches()


def _chunks(store: Store, chunking: ChunkingSettings, progress: Progress, total: int) -> Iterator[pa.RecordBatch]:
    chunk_batch = partial(_chunk_batch, chunking=chunking)
    notes = ray.data.read_lance(str(store.notes_path))
    for table in _tables(notes.map_batches(chunk_batch, batch_size=BATCH_ROWS, batch_format="pyarrow")):
        progress("notes chunked", pc.count_distinct(table["note_id"]).as_py(), total)
        yield from table.to_batches()


def _chunk_batch(table: pa.Table, chunking: ChunkingSettings) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for note in table.to_pylist():
        bucket = bucket_of(note["patient_id"])
        for i, span in enumerate(chunk_note(note["text"], chunking)):
            rows.append({**note, **span._asdict(), "chunk_id": f"{note['note_id']}_{i}", "bucket": bucket})
    return pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA)


def _tables(dataset: ray.data.Dataset) -> Iterator[pa.Table]:
    return (table for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow") if len(table))
