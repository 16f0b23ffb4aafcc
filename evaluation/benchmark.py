"""A benchmark folder: chunks, queries and which chunks answer which query.

corpus.jsonl(.gz)   {"_id", "text", "note_id", "patient_id"} a line, more keys are ignored
queries.jsonl(.gz)  {"_id", "text", "type"} a line, more keys are ignored
qrels.tsv           header query-id, corpus-id, score; a score of 0 means judged and not relevant
match_types.tsv     header query-id, corpus-id, match_type, evidence; one row for each relevant pair
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from pydantic import BaseModel


class BenchmarkSettings(BaseModel):
    """Which benchmark to evaluate on."""

    path: Path
    """Folder with corpus.jsonl(.gz), queries.jsonl(.gz), qrels.tsv and match_types.tsv."""


class Judgement(NamedTuple):
    """One relevant (query, chunk) pair; both are positions in the benchmark's tuples."""

    query: int
    chunk: int
    match_type: str
    evidence: str


@dataclass(frozen=True)
class Benchmark:
    """Chunks, queries and relevant pairs. Everything after reading works on positions in these tuples."""

    name: str
    chunk_ids: tuple[str, ...]
    chunk_texts: tuple[str, ...]
    note_ids: tuple[str, ...]
    """The note of each chunk."""
    query_ids: tuple[str, ...]
    query_texts: tuple[str, ...]
    query_types: tuple[str, ...]
    judgements: tuple[Judgement, ...]

    @cached_property
    def chunks_of_note(self) -> dict[str, np.ndarray]:
        """The chunk positions of each note, ascending."""
        members: dict[str, list[int]] = {}
        for chunk, note in enumerate(self.note_ids):
            members.setdefault(note, []).append(chunk)
        return {note: np.array(chunks) for note, chunks in members.items()}

    @cached_property
    def judgements_of_query(self) -> dict[int, list[Judgement]]:
        """The relevant pairs of each query that has any, in order of the queries."""
        grouped: dict[int, list[Judgement]] = {}
        for judgement in sorted(self.judgements):
            grouped.setdefault(judgement.query, []).append(judgement)
        return grouped


def read_benchmark(folder: Path) -> Benchmark:
    """Read and check a benchmark folder.

    Raises ValueError naming file and row: a missing file, column or value, a duplicate id, a judgement of an
    unknown query or chunk, a relevant pair without match type, a truncated gzip, an empty file.
    """
    chunks = _read_records(_find(folder, "corpus.jsonl"), ("text", "note_id"))
    queries = _read_records(_find(folder, "queries.jsonl"), ("text", "type"))
    query_at = {query: position for position, query in enumerate(queries)}
    chunk_at = {chunk: position for position, chunk in enumerate(chunks)}

    relevant: dict[tuple[int, int], int] = {}
    for row, pair, values in _read_pairs(folder / "qrels.tsv", ("score",), query_at, chunk_at):
        if not values[0].isdecimal():
            raise ValueError(f"{folder / 'qrels.tsv'} row {row}: score is not a whole number")
        if int(values[0]) > 0:
            relevant[pair] = row
    if not relevant:
        raise ValueError(f"{folder / 'qrels.tsv'}: no relevant pair")

    judgements = []
    path = folder / "match_types.tsv"
    for row, pair, (match_type, evidence) in _read_pairs(path, ("match_type", "evidence"), query_at, chunk_at):
        if relevant.pop(pair, None) is None:
            raise ValueError(f"{path} row {row}: this pair is not relevant in qrels.tsv")
        judgements.append(Judgement(*pair, match_type, evidence))
    for row in relevant.values():
        raise ValueError(f"{folder / 'qrels.tsv'} row {row}: this pair has no row in match_types.tsv")

    return Benchmark(
        name=folder.resolve().name,
        chunk_ids=tuple(chunks),
        chunk_texts=tuple(chunk["text"] for chunk in chunks.values()),
        note_ids=tuple(chunk["note_id"] for chunk in chunks.values()),
        query_ids=tuple(queries),
        query_texts=tuple(query["text"] for query in queries.values()),
        query_types=tuple(query["type"] for query in queries.values()),
        judgements=tuple(judgements),
    )


def read_queries(path: Path) -> list[dict[str, str]]:
    """The queries (_id, text, type) of one file in the form of queries.jsonl(.gz); ValueError as `read_benchmark`."""
    return [{"_id": query, **columns} for query, columns in _read_records(path, ("text", "type")).items()]


def _find(folder: Path, name: str) -> Path:
    found = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    if not found:
        raise ValueError(f"{folder / name}: no such file, and no {name}.gz either")
    return found[0]


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8", newline="")


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their row number from 1."""
    row = 0
    try:
        with _open(path) as lines:
            for row, line in enumerate(lines, start=1):
                if line.strip():
                    yield row, line
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ValueError(f"{path} row {row + 1}: the gzip stream is damaged or cut off here") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} row {row + 1}: not UTF-8") from None


def _read_records(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """JSON lines by `_id`; every column must be a string, ids a non-empty one."""
    records: dict[str, dict[str, Any]] = {}
    for row, line in _rows(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            raise ValueError(f"{path} row {row}: not a JSON object") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path} row {row}: not a JSON object")
        for column in ("_id", *columns):
            if not isinstance(record.get(column), str) or not record[column]:
                raise ValueError(f"{path} row {row}: {column} is missing, empty or not a string")
        if record["_id"] in records:
            raise ValueError(f"{path} row {row}: duplicate _id {record['_id']}")
        records[record["_id"]] = {column: record[column] for column in columns}
    if not records:
        raise ValueError(f"{path}: no rows")
    return records


def _read_pairs(
    path: Path, columns: tuple[str, ...], query_at: dict[str, int], chunk_at: dict[str, int]
) -> Iterator[tuple[int, tuple[int, int], list[str]]]:
    """Row number, (query, chunk) position and the values of `columns`, for each row of a TSV with header."""
    rows = _rows(path)
    header = next((line.rstrip("\r\n").split("\t") for _, line in rows), [])
    for column in ("query-id", "corpus-id", *columns):
        if column not in header:
            raise ValueError(f"{path} row 1: no column {column}")
    seen = set()
    for row, line in rows:
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != len(header):
            raise ValueError(f"{path} row {row}: {len(fields)} fields, the header has {len(header)}")
        record = dict(zip(header, fields, strict=True))
        query, chunk = record["query-id"], record["corpus-id"]
        if query not in query_at:
            raise ValueError(f"{path} row {row}: unknown query {query}")
        if chunk not in chunk_at:
            raise ValueError(f"{path} row {row}: unknown chunk {chunk}")
        pair = query_at[query], chunk_at[chunk]
        if pair in seen:
            raise ValueError(f"{path} row {row}: query {query} and chunk {chunk} stand in an earlier row")
        seen.add(pair)
        yield row, pair, [record[column] for column in columns]
