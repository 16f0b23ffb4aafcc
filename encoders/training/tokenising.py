"""Training records to tokenised tables on Ray Data, once, before any training step."""

import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import ray

from encoders.training.settings import TrainingSettings
from encoders.training.tables import BATCH_ROWS, STAGED, stage_records, write_tables

RECORDS = "records.jsonl"
"""Of a folder that has it, the other files are no records but what a job says of them."""
SPAN_BYTES = 16 * 2**20
"""Of a file, that one task reads."""


def tokenise(records: Path, encoder: str, settings: TrainingSettings, folder: Path) -> dict[str, int]:
    """Write the tables of `encoders.training.data` for a file, or a folder's records; their numbers of rows.

    A folder's are those of RECORDS, or where it has none those of all `*.jsonl`. Raises ValueError naming the file for
    lines that are no training records, or when there is none at all.
    """
    staging = folder / "staging"
    staging.mkdir()
    files = _files(records)
    if not files:
        raise ValueError(f"{records}: holds no training records (*.jsonl)")
    spans = [
        {"path": str(file), "start": start} for file in files for start in range(0, file.stat().st_size, SPAN_BYTES)
    ]
    if not spans:
        raise ValueError(f"{records}: holds no training records")
    stage = partial(_stage_span, encoder=encoder, max_tokens=settings.chunk_tokens)
    ray.data.from_items(spans, override_num_blocks=len(spans)).map_batches(
        stage, batch_size=1, batch_format="pandas"
    ).write_parquet(str(staging / "chunks"))
    # Bad lines are found here rather than raised by the worker: Ray Data does not hand on which error it was.
    rows = pads.dataset(staging / "chunks", schema=STAGED).to_table()
    if not len(rows):
        raise ValueError(f"{records}: holds no training records")
    counts = write_tables(rows, encoder, settings, folder)
    shutil.rmtree(staging)
    return counts


def _files(records: Path) -> list[Path]:
    if records.is_file():
        return [records]
    return [records / RECORDS] if (records / RECORDS).exists() else sorted(records.glob("*.jsonl"))


def _stage_span(span: Any, encoder: str, max_tokens: int) -> Iterator[pa.Table]:
    path, start = span["path"][0], int(span["start"][0])
    lines = lines_of_span(Path(path), start, start + SPAN_BYTES)
    while some := list(islice(lines, BATCH_ROWS)):
        yield stage_records(some, [path] * len(some), encoder, max_tokens)


def lines_of_span(path: Path, start: int, end: int) -> Iterator[str]:
    """The lines that begin there, but for blank ones; what is not UTF-8 in them becomes surrogates.

    A newline alone ends a line: `str.splitlines` knows nine more characters that do, which texts may hold.
    """
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while file.tell() < end and (line := file.readline()):
            if line.strip():
                yield line.decode(errors="surrogateescape")
