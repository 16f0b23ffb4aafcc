"""Note files to Arrow tables: good rows, bad ones with their reason, and how many were left out and why."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from corpus.files import BREAKING_OFF, NoteFile
from corpus.notes import parse_note
from corpus.settings import NotesSettings
from corpus.sources import BadRow, LeftOut, NoteSource
from corpus.sources.base import Row
from corpus.tables import NOTE_SCHEMA

BATCH_ROWS = 1000

BROKEN_OFF = "truncated_or_corrupt_file"
"""The reason code of a file that breaks off: rows before it are good, how many would follow is unknown."""

UNREADABLE = "unreadable_file"
"""The reason code of a file that cannot be read any further though it is whole: another try may succeed."""

_BESIDE = {"file": pa.int32(), "row": pa.int64(), "reason": pa.string(), "column": pa.string(), "left_out": pa.int64()}
READ_SCHEMA = pa.schema([*(field.with_nullable(True) for field in NOTE_SCHEMA), *pa.schema(_BESIDE)])
"""`file` is its number among the sorted files. A row has a note, or a `reason`, or a `reason` and how many rows were
`left_out` for it."""


def read_notes(files: Iterable[tuple[int, NoteFile]], notes: NotesSettings) -> Iterator[pa.Table]:
    """The rows of numbered files: tables of `READ_SCHEMA`, up to `BATCH_ROWS` rows each, small files together."""
    rows: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for number, file in files:
        for place, row in file_rows(file, notes.source()):
            if isinstance(row, LeftOut):
                left_out[row.reason] += 1
                continue
            note = row if isinstance(row, BadRow) else parse_note(row, source=notes.format)
            values = {"reason": note.reason, "column": note.column} if isinstance(note, BadRow) else note
            rows.append({**values, "file": number, "row": place})
            if len(rows) == BATCH_ROWS:
                yield pa.Table.from_pylist(rows, schema=READ_SCHEMA)
                rows = []
    rows += ({"reason": reason, "left_out": count} for reason, count in sorted(left_out.items()))
    yield pa.Table.from_pylist(rows, schema=READ_SCHEMA)


def file_rows(file: NoteFile, source: NoteSource) -> Iterator[tuple[int, Row]]:
    """The numbered rows of a file; the last says where reading ended early, at row 0 when there was none before."""
    number = 0
    try:
        for number, row in source.rows(file):
            yield number, row
    except BREAKING_OFF:
        yield number and number + 1, BadRow(BROKEN_OFF)
    except OSError:
        yield number + 1, BadRow(UNREADABLE)
