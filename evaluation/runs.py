"""TREC run files: `query-id Q0 document-id rank score tag`, one line for each ranked document."""

import codecs
import math
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np
import xxhash

from evaluation.benchmark import Benchmark
from evaluation.ranking import UNKNOWN, Hits

RUN_DEPTH = 1000
"""Documents kept for each query, as is customary at TREC."""
FIELDS = 6
MOST = float(np.finfo(np.float32).max)


def run_file_name(spec: str) -> str:
    """A file name for the run of the retriever that `spec` names; different specs get different names."""
    plain = re.sub(r"[^\w.-]+", "_", spec)
    return f"{plain}.run" if plain == spec else f"{plain[-100:]}-{xxhash.xxh32_hexdigest(spec.encode())}.run"


class RunWriter:
    """Writes the best RUN_DEPTH documents of each query; the file appears only when `close` finds it whole.

    Scores are written so that they read back exactly; equal ones stay ties.
    """

    def __init__(self, path: Path, benchmark: Benchmark) -> None:
        self._path, self._benchmark = path, benchmark
        self._partial = path.with_name(f"{path.name}.partial")
        self._file = self._partial.open("w", encoding="utf-8")

    def write(self, query: int, hits: Hits) -> None:
        """Add a query's lines."""
        query_id, unknown = self._benchmark.query_ids[query], iter(hits.unknown)
        ranked = zip(hits.documents[:RUN_DEPTH].tolist(), hits.scores[:RUN_DEPTH].tolist(), strict=True)
        self._file.writelines(
            f"{query_id} Q0 {self._name(document, unknown)} {rank} {score!r} {self._path.stem}\n"
            for rank, (document, score) in enumerate(ranked, start=1)
        )

    def _name(self, document: int, unknown: Iterator[str]) -> str:
        return next(unknown) if document == UNKNOWN else self._benchmark.document_ids[document]

    def close(self) -> None:
        """Put the file in its place."""
        self._file.close()
        os.replace(self._partial, self._path)


class Run:
    """A run file read query by query: memory holds where each query's lines are, and one query's lines at a time.

    The lines of a query must stand together. Raises ValueError naming file and line: another number of fields, a score
    that is no number, a query whose lines stand apart, a file without lines; once a query is read, a document twice
    in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spans: dict[str, tuple[int, int, int]] = {}
        """Of each query: offset of its first line, length in bytes, number of its first line."""
        try:
            with path.open("rb") as file:
                self._find_queries(file)
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file") from None
        if not self._spans:
            raise ValueError(f"{path}: no lines; an empty run cannot be scored")

    @property
    def query_ids(self) -> set[str]:
        return set(self._spans)

    def scores_of(self, query_id: str) -> dict[str, float]:
        """Scores by document id; empty for a query without lines."""
        if query_id not in self._spans:
            return {}
        offset, length, first = self._spans[query_id]
        with self._path.open("rb") as file:
            file.seek(offset)
            lines = file.read(length).splitlines()
        scores: dict[str, float] = {}
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            _, document, score = self._fields(number, line)
            if document in scores:
                raise ValueError(f"{self._path} line {number}: this document stands in an earlier line of the query")
            scores[document] = score
        return scores

    def _find_queries(self, file: BufferedReader) -> None:
        query, start, first, offset = b"", 0, 1, 0
        if file.peek(3)[:3] == codecs.BOM_UTF8:
            start = offset = file.seek(3)
        number = 0
        for number, line in enumerate(file, 1):
            name = self._fields(number, line)[0].encode() if line.strip() else query
            if name != query:
                self._close(query, start, offset, first)
                query, start, first = name, offset, number
                if name.decode("utf-8", "replace") in self._spans:
                    raise ValueError(
                        f"{self._path} line {number}: lines of this query stand further up too; sort the file by "
                        f"query, as `sort -s -k1,1` does"
                    )
            offset += len(line)
        self._close(query, start, offset, first)

    def _close(self, query: bytes, start: int, end: int, first: int) -> None:
        if query:
            self._spans[query.decode("utf-8", "replace")] = start, end - start, first

    def _fields(self, number: int, line: bytes) -> tuple[str, str, float]:
        """Query, document and score of a line."""
        try:
            fields = line.decode().split()
        except UnicodeDecodeError:
            raise ValueError(f"{self._path} line {number}: not UTF-8") from None
        if len(fields) != FIELDS:
            raise ValueError(f"{self._path} line {number}: {len(fields)} fields, a run file has {FIELDS}")
        try:
            score = float(fields[4])
        except ValueError:
            score = math.nan
        if abs(score) > MOST or math.isnan(score):
            raise ValueError(f"{self._path} line {number}: its score is not a finite number of single precision")
        return fields[0], fields[2], score
