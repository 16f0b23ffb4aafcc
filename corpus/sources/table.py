"""The container of tables, CSV or Parquet by the file's name, whose leaves say which column becomes which."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import BREAKING_OFF, NoteFile
from corpus.sources.base import BROKEN_OFF, REQUIRED, BadRow, LeftOut, NoteSource, Row

BATCH_ROWS = 1000
MAX_FIELD = 1 << 24
"""Characters. A quote that is never closed would otherwise take the rest of the file for one field."""

STREAMING: Any = {"pre_buffer": False, "buffer_size": 1 << 20}
"""For `ParquetFile`: by default Arrow 26 holds the whole file in memory by the time it is read to its end."""

Columns = Mapping[str, tuple[str, ...]]
"""For each column of a note, the file's columns that can give it: the first one that holds something does."""


class TableSource(NoteSource):
    """Column names count in either case; a table without a required column is one bad row."""

    columns: ClassVar[Columns]
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
    number = 0
    try:
        with file.open() as stream:
            lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(lines, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            if missing := _missing(header, required):
                yield 0, BadRow("missing_column", missing) if all(map(_is_utf8, header)) else BadRow("not_utf8")
                return
            while True:
                number += 1
                try:
                    values = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield number, BadRow(BROKEN_OFF if "end of data" in str(error) else "not_csv")
                    continue
                if not values:
                    continue
                if len(values) != len(header):
                    yield number, BadRow("wrong_number_of_fields")
                    continue
                row = {name: value for name, value in zip(header, values, strict=True) if name in wanted}
                bad = next((name for name, value in row.items() if not _is_utf8(value)), None)
                yield number, BadRow("not_utf8", bad) if bad else row
    except BREAKING_OFF:
        yield number, BadRow(BROKEN_OFF)


def _is_utf8(value: str) -> bool:
    """Whether every byte could be decoded: those that could not stand as lone surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_rows(
    file: NoteFile, wanted: set[str], required: Sequence[Sequence[str]]
) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    number = 0
    try:
        with file.open_random() as stream:
            table = pq.ParquetFile(stream, **STREAMING)
            names = {name.lower(): name for name in table.schema_arrow.names}
            if missing := _missing(list(names), required):
                yield 0, BadRow("missing_column", missing)
                return
            columns = [name for lower, name in names.items() if lower in wanted]
            for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name.lower(): value for name, value in row.items()}
    except (pa.ArrowInvalid, OSError):
        yield number + 1, BadRow(BROKEN_OFF)
