"""The container of tables, CSV or Parquet by the file's name, whose leaves say which column becomes which."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import NoteFile
from corpus.sources.base import REQUIRED, BadRow, LeftOut, NoteSource, Row

BATCH_ROWS = 1000
MAX_FIELD = 1 << 24
"""Characters. A quote that is never closed would otherwise take the rest of the file for one field."""

_UNDECODED = re.compile("[\udc80-\udcff]")
STREAMING: Any = {"pre_buffer": False, "buffer_size": 1 << 20}
"""For `ParquetFile`: by default Arrow 26 holds the whole file in memory by the time it is read to its end."""


def columns_named(**otherwise: str) -> dict[str, tuple[str, ...]]:
    """For each column of a note, the file's columns that can give it: the first one that holds something does."""
    alike = {name: name for name in ("note_id", "patient_id", "encounter_id", "note_type", "note_time", "text")}
    return {column: tuple(names.split()) for column, names in (alike | otherwise).items()}


class TableSource(NoteSource):
    """Column names count in either case; a table without a required column is bad as a whole."""

    columns: ClassVar[dict[str, tuple[str, ...]]]
    also: ClassVar[tuple[str, ...]] = ()
    """Further columns, which `left_out` looks at."""

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        read = _parquet_rows if file.path.lower().endswith(".parquet") else _csv_rows
        wanted = {name for names in self.columns.values() for name in names} | set(self.also)
        required = [self.columns[column] for column in REQUIRED] + [(name,) for name in self.also]
        for number, row in read(file, wanted, required):
            if isinstance(row, BadRow):
                yield number, row
            elif reason := self.left_out(row):
                yield number, LeftOut(reason)
            else:
                yield number, {column: _first(row, names) for column, names in self.columns.items()}

    def left_out(self, row: dict[str, Any]) -> str | None:
        """Why a sound row is not wanted; None when it is."""
        return None


def _first(row: dict[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _missing(header: Sequence[str], required: Sequence[Sequence[str]]) -> str | None:
    return next((names[0] for names in required if not any(name in header for name in names)), None)


def _csv_rows(
    file: NoteFile, wanted: set[str], required: Sequence[Sequence[str]]
) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """RFC 4180 in UTF-8, with or without a byte order mark. The header is row 0."""
    csv.field_size_limit(MAX_FIELD)
    with file.open() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        records = _csv_records(lines)
        first = next(records, [])
        if isinstance(first, BadRow):
            yield 0, first
            return
        header = [name.strip().lower() for name in first]
        if missing := _missing(header, required):
            yield 0, BadRow("missing_column", missing) if all(map(_is_utf8, header)) else BadRow("not_utf8")
            return
        for number, values in enumerate(records, 1):
            if isinstance(values, BadRow):
                yield number, values
            elif values and len(values) != len(header):
                yield number, BadRow("wrong_number_of_fields")
            elif values:
                row = {name: value for name, value in zip(header, values, strict=True) if name in wanted}
                bad = next((name for name, value in row.items() if not _is_utf8(value)), None)
                yield number, BadRow("not_utf8", bad) if bad else row


def _csv_records(lines: Iterable[str]) -> Iterator[list[str] | BadRow]:
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):
                raise EOFError from None
            yield BadRow("not_csv")


def _is_utf8(value: str) -> bool:
    """Whether every byte could be decoded: those that could not stand as lone surrogates."""
    return value.isascii() or not _UNDECODED.search(value)


def _parquet_rows(
    file: NoteFile, wanted: set[str], required: Sequence[Sequence[str]]
) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    with file.open_random() as stream:
        try:
            table = pq.ParquetFile(stream, **STREAMING)
            names = {name.lower(): name for name in table.schema_arrow.names}
            if missing := _missing(list(names), required):
                yield 0, BadRow("missing_column", missing)
                return
            columns = [name for lower, name in names.items() if lower in wanted]
            batches = table.iter_batches(batch_size=BATCH_ROWS, columns=columns)
            yield from enumerate(chain.from_iterable(map(_python_rows, batches)), 1)
        except (pa.ArrowException, OSError) as error:
            raise EOFError from error


def _python_rows(batch: pa.RecordBatch) -> list[dict[str, Any] | BadRow]:
    """The rows, column names in lower case. Arrow holds values that Python cannot: bytes as text, the year 11476."""
    batch = batch.rename_columns([name.lower() for name in batch.schema.names])
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError):
        return [_python_row(batch.slice(i, 1)) for i in range(len(batch))]


def _python_row(row: pa.RecordBatch) -> dict[str, Any] | BadRow:
    values: dict[str, Any] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        try:
            values[name] = column[0].as_py()
        except UnicodeDecodeError:
            return BadRow("not_utf8", name)
        except (ValueError, OverflowError):
            return BadRow("out_of_range", name)
    return values
