"""Reading the files of benchmarks: JSON lines and tab-separated tables, plain or gzip. Errors name file and row."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


def find(folder: Path, name: str) -> Path:
    """The file of that name, or its gzip. Raises ValueError when there is neither."""
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not found:
        raise ValueError(f"{folder / name}: no such file, and no {name}.gz either")
    return found[0]


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without their ends, with their row number from 1."""
    row = 0
    try:
        with _open(path) as stream:
            for row, line in enumerate(stream, start=1):
                if line.strip():
                    yield row, line.rstrip("\r\n")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ValueError(f"{path} row {row + 1}: the gzip stream is damaged or cut off here") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} row {row + 1}: not UTF-8") from None


def read_records(path: Path, columns: Sequence[str], also: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """JSON lines by `_id`; every column must be a string that is not empty, those of `also` may be missing."""
    records: dict[str, dict[str, Any]] = {}
    for row, line in lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            raise ValueError(f"{path} row {row}: not a JSON object") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path} row {row}: not a JSON object")
        for column in ("_id", *columns):
            if not isinstance(record.get(column), str) or not record[column].strip():
                raise ValueError(f"{path} row {row}: {column} is missing, empty or not a string")
        for column in ("_id", *columns, *also):
            if not _is_text(record.get(column, "")):
                raise ValueError(f"{path} row {row}: {column} is not a string of whole characters")
        if record["_id"] in records:
            raise ValueError(f"{path} row {row}: duplicate _id {record['_id']}")
        records[record["_id"]] = {name: record[name] for name in (*columns, *also) if record.get(name)}
    if not records:
        raise ValueError(f"{path}: no rows")
    return records


def read_table(
    path: Path, columns: Sequence[str], has_header: bool = True, filled: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Row number and the values of `columns`, those of `filled` not empty, of each row of a tab-separated table.

    Without a header the table must have just these columns, in their order.
    """
    rows = lines(path)
    header = next((line.split("\t") for _, line in rows), []) if has_header else list(columns)
    for column in columns:
        if column not in header:
            raise ValueError(f"{path} row 1: no column {column}")
    at = [header.index(column) for column in columns]
    for row, line in rows:
        fields = line.split("\t")
        if len(fields) != len(header):
            raise ValueError(
                f"{path} row {row}: {len(fields)} fields, {len(header)} are expected ({', '.join(header)})"
            )
        for column, place in zip(columns, at, strict=True):
            if column in filled and not fields[place].strip():
                raise ValueError(f"{path} row {row}: {column} is empty")
        yield row, [fields[place] for place in at]


class Pairs:
    """Checks the (query, document) pairs of a file: both known, no pair twice."""

    def __init__(self, path: Path, query_at: Mapping[str, int], document_at: Mapping[str, int]) -> None:
        self._path, self._query_at, self._document_at = path, query_at, document_at
        self._seen: set[tuple[int, int]] = set()

    def check(self, row: int, query: str, document: str) -> tuple[int, int]:
        """Their positions. Raises ValueError naming file and row."""
        if query not in self._query_at:
            raise ValueError(f"{self._path} row {row}: unknown query {query}")
        if document not in self._document_at:
            raise ValueError(f"{self._path} row {row}: unknown chunk {document}")
        pair = self._query_at[query], self._document_at[document]
        if pair in self._seen:
            raise ValueError(f"{self._path} row {row}: query {query} and chunk {document} stand in an earlier row")
        self._seen.add(pair)
        return pair


def read_qrels(path: Path, query_at: Mapping[str, int], document_at: Mapping[str, int]) -> dict[tuple[int, int], int]:
    """Grades above 0 by (query, document), of a table with the header query-id, corpus-id, score."""
    pairs, grades = Pairs(path, query_at, document_at), {}
    for row, (query, document, score) in read_table(path, ("query-id", "corpus-id", "score")):
        pair = pairs.check(row, query, document)
        if grade := read_grade(path, row, score):
            grades[pair] = grade
    if not grades:
        raise ValueError(f"{path}: no relevant pair")
    return grades


def read_grade(path: Path, row: int, text: str) -> int:
    """0 or more: negative grades, which some tracks give to spam, count as 0. Raises ValueError naming file and row."""
    try:
        return max(0, int(text))
    except ValueError:
        raise ValueError(f"{path} row {row}: the grade is not a whole number") from None


def positions(ids: Sequence[str] | Mapping[str, Any]) -> dict[str, int]:
    """Of each id in its order."""
    return {each: position for position, each in enumerate(ids)}


def _is_text(value: Any) -> bool:
    """False for half of a surrogate pair too, which JSON can escape and no file can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig", newline="")
