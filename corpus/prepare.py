"""Note files to the store, on Ray Data: read, check, chunk, commit.

Ray workers read and chunk; rows are staged until the last one is checked, and each table is one commit to Lance.
Nothing is held in memory that grows with the notes, save what `corpus.staging` says.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from corpus.chunk_table import chunk_rows
from corpus.chunking import ChunkingSettings
from corpus.errors import refuse, write_errors
from corpus.files import NoteFile
from corpus.reading import BATCH_ROWS, read_notes
from corpus.settings import NotesSettings
from corpus.staging import Staging
from corpus.store import Store

Progress = Callable[[str, int, int | None], None]

TASK_BYTES = 1 << 26
TASK_FILES = 1000
"""A task reads consecutive files up to either; one task for each of 100,000 small files would mostly start tasks."""

TASK_NOTES = 20_000
"""A task cuts this many notes into chunks."""

BLOCK_BYTES = 1 << 24
"""What passes between processes at once. Each holds a few of these."""


def prepare_corpus(
    notes: NotesSettings, chunking: ChunkingSettings, folder: Path, progress: Progress
) -> dict[str, int]:
    """Write the store into `folder`; the counts of notes, chunks, bad rows and rows left out by reason.

    `progress(name, done, total)` is told of rows read and notes chunked. Raises FileNotFoundError when there are no
    files; ValueError when too much is bad (`corpus.errors.refuse`).
    """
    files = notes.files()
    staging_path = folder / "staging.parquet"
    staging = Staging(staging_path)
    for table in _run(partial(read_notes, notes=notes), list(_tasks(files))):
        staging.add(table)
        progress("rows read", len(table), None)
    good, bad = staging.finish()
    write_errors(bad, files, folder)
    refuse(folder, good, staging.left_out, files, notes)

    store = Store(folder)
    store.write_notes(staging.good())
    staging_path.unlink()
    store.write_chunks(_chunks(store, chunking, progress, total=good), chunking)
    left_out = {f"left_out_as_{reason}": count for reason, count in sorted(staging.left_out.items())}
    return {"notes": good, "chunks": store.chunks().count_rows(), "bad_rows": len(bad), **left_out}


def _tasks(files: list[NoteFile]) -> Iterator[list[tuple[int, NoteFile]]]:
    """The files with their numbers, in order, cut into what one task reads."""
    task: list[tuple[int, NoteFile]] = []
    size = 0
    for number, file in enumerate(files):
        if task and (size + file.size > TASK_BYTES or len(task) == TASK_FILES):
            yield task
            task, size = [], 0
        task.append((number, file))
        size += file.size
    yield task


def _chunks(store: Store, chunking: ChunkingSettings, progress: Progress, total: int) -> Iterator[pa.RecordBatch]:
    # One task reads and chunks: a reader of its own would fill the object store faster than chunks are made.
    chunk_task = partial(_chunk_task, folder=store.folder, chunking=chunking)
    for table in _run(chunk_task, range(0, total, TASK_NOTES)):
        progress("notes chunked", pc.sum(pc.ends_with(table["chunk_id"], "_0")).as_py(), total)
        yield from table.to_batches()


def _chunk_task(first: int, folder: Path, chunking: ChunkingSettings) -> Iterator[pa.Table]:
    notes = Store(folder).notes().scanner(offset=first, limit=TASK_NOTES, batch_size=BATCH_ROWS)
    for some in notes.to_reader():
        yield chunk_rows(some, chunking)


def _run(task: Callable[[Any], Iterator[pa.Table]], inputs: Sequence[Any]) -> Iterator[pa.Table]:
    """The tables that a task makes of each of its inputs."""

    def run(batch: pa.Table) -> Iterator[pa.Table]:
        return task(pickle.loads(batch["input"][0].as_py()))

    items = ray.data.from_items([{"input": pickle.dumps(each)} for each in inputs], override_num_blocks=len(inputs))
    dataset = items.map_batches(run, batch_size=1, batch_format="pyarrow")
    dataset.context.target_max_block_size = BLOCK_BYTES
    return (table for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow") if len(table))
