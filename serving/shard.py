"""One shard, without Ray: which rows a filter allows, their exact cosines and BM25 scores, and their contents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.fusion import letters_held
from serving.lexical import match_words
from serving.manifest import load_shard, open_chunks, read_manifest
from serving.protocol import Filters, Mode

NARROW_ROWS = 500
"""Up to so many allowed rows are all scored, both ways; more are searched by index. Every patient but a few is
narrow; beyond, a list of row ids costs Lance more (3 ms at 500) than reading its ranking deeper."""

CONTENTS = [
    *("chunk_id", "note_id", "patient_id", "note_type", "note_time"),
    *("source", "text", "char_start", "char_end"),
]


@dataclass(frozen=True)
class ShardQuery:
    """What a shard is asked. `vector` (dimension,) is normalised and absent in lexical mode."""

    text: str = field(repr=False)
    vector: NDArray[np.float32] | None = field(repr=False)
    mode: Mode
    depth: int
    """Candidates wanted per retriever."""
    filters: Filters = field(repr=False)


@dataclass(frozen=True)
class Candidates:
    """Rows of one shard with their raw scores, each array of shape (candidates,).

    Every candidate has the scores of all retrievers of the mode; the others are 0. Hybrid candidates are the best
    `depth` of each retriever.
    """

    rows: NDArray[np.int64]
    lexical: NDArray[np.float32]
    dense: NDArray[np.float32]
    coverage: float
    """How much of the query the best lexical candidate holds (`serving.fusion.letters_held`); 0 but in hybrid mode."""
    patients_known: int
    """How many of the filter's patients have rows here."""


class Shard:
    """A shard's rows, ordered by patient, with the exact index (FAISS, flat) of their vectors and the store's words."""

    def __init__(self, rows: pa.Table, index: Any, chunks: lance.LanceDataset) -> None:
        self._rows = rows
        self._index = index
        self._chunks = chunks
        self._vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(-1, index.d)
        self._row_ids = rows["row_id"].to_numpy().astype(np.int64)
        self._by_row_id = np.argsort(self._row_ids)
        self._sorted_row_ids = self._row_ids[self._by_row_id]
        self._patients = _ranges(rows["patient_id"])
        self._types = _Codes(rows["note_type"])
        self._sources = _Codes(rows["source"])
        # Missing times become the lowest value, which no lower bound accepts.
        self._times = rows["note_time"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()

    @classmethod
    def load(cls, release: Path, number: int) -> "Shard":
        """Shard `number` of the release. Raises ValueError when a file or the store's version is missing or wrong."""
        manifest = read_manifest(release)
        return cls(*load_shard(release, number), open_chunks(manifest))

    def search(self, queries: Sequence[ShardQuery]) -> list[Candidates]:
        """Candidates of each query. Never fewer than `depth` rows where so many are allowed and can match."""
        allowed = [self._allowed(query.filters) for query in queries]
        dense = self._search_dense(queries, allowed)
        return [
            self._candidates(query, rows, found) for query, rows, found in zip(queries, allowed, dense, strict=True)
        ]

    def fetch(self, batch: Sequence[Sequence[int]]) -> list[list[dict[str, Any]]]:
        """The contents of each list of rows, in its order."""
        contents = self._rows.select(CONTENTS)
        return [contents.take(pa.array(rows, pa.int64())).to_pylist() for rows in batch]

    def _allowed(self, filters: Filters) -> NDArray[np.int64] | None:
        """Rows that pass, ascending; None when there is no condition."""
        rows: NDArray[np.int64] | None = None
        if filters.patient_ids is not None:
            ranges = sorted(self._patients[each] for each in {*filters.patient_ids} & self._patients.keys())
            rows = np.concatenate([np.arange(0), *(np.arange(start, stop) for start, stop in ranges)])
        conditions = []
        at = slice(None) if rows is None else rows
        if filters.note_types is not None:
            conditions.append(self._types.isin(filters.note_types, at))
        if filters.sources is not None:
            conditions.append(self._sources.isin(filters.sources, at))
        if filters.time_from is not None:
            conditions.append(self._times[at] >= _microseconds(filters.time_from))
        if filters.time_to is not None:
            times = self._times[at]
            conditions.append((times < _microseconds(filters.time_to)) & (times != np.iinfo(np.int64).min))
        if conditions:
            passed = np.flatnonzero(np.logical_and.reduce(conditions))
            rows = passed if rows is None else rows[passed]
        return rows

    def _search_dense(
        self, queries: Sequence[ShardQuery], allowed: Sequence[NDArray[np.int64] | None]
    ) -> list[NDArray[np.int64]]:
        """Rows of the best `depth` cosines of each query; empty in lexical mode, all allowed rows when narrow."""
        found = [np.empty(0, np.int64) for _ in queries]
        everywhere, vectors = [], []
        for number, (query, rows) in enumerate(zip(queries, allowed, strict=True)):
            if query.vector is None:
                continue
            if rows is None:
                everywhere.append(number)
                vectors.append(query.vector)
            elif len(rows) <= NARROW_ROWS:
                found[number] = rows
            else:
                mask = np.zeros(self._index.ntotal, bool)
                mask[rows] = True
                bits = np.packbits(mask, bitorder="little")
                selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
                parameters = faiss.SearchParameters()
                parameters.sel = selector
                depth = min(query.depth, len(rows))
                found[number] = self._index.search(query.vector[None], depth, params=parameters)[1][0]
        if everywhere and self._index.ntotal:
            depth = min(max(queries[number].depth for number in everywhere), self._index.ntotal)
            for number, rows in zip(everywhere, self._index.search(np.stack(vectors), depth)[1], strict=True):
                found[number] = rows[: queries[number].depth]
        return found

    def _candidates(
        self, query: ShardQuery, allowed: NDArray[np.int64] | None, dense_rows: NDArray[np.int64]
    ) -> Candidates:
        known = len({*(query.filters.patient_ids or [])} & self._patients.keys())
        rows, lexical = dense_rows, np.zeros(len(dense_rows), np.float32)
        if query.mode != "dense":
            matched, scores = self._match_words(query, allowed)
            rows = np.union1d(dense_rows, matched)
            lexical = np.zeros(len(rows), np.float32)
            lexical[np.searchsorted(rows, matched)] = scores
            # A candidate of the dense side alone may hold words too, just not among the best.
            rest = np.setdiff1d(dense_rows, matched)
            if len(matched) >= query.depth and len(rest):
                matched, scores = self._words_within(query.text, rest)
                lexical[np.searchsorted(rows, matched)] = scores
        dense = np.zeros(len(rows), np.float32)
        if query.vector is not None:
            dense = self._vectors[rows] @ query.vector
        coverage = 0.0
        if query.mode == "hybrid" and lexical.any():
            best = rows[lexical == lexical.max()]
            coverage = letters_held(query.text, self._rows["text"].take(best).to_pylist())
        return Candidates(rows, lexical, dense, coverage, known)

    def _match_words(
        self, query: ShardQuery, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best `depth` word matches among the allowed rows (all of them when narrow)."""
        available = len(self._row_ids) if allowed is None else len(allowed)
        if available <= NARROW_ROWS:
            return self._words_within(query.text, np.arange(available) if allowed is None else allowed)
        mask = np.zeros(len(self._row_ids), bool)
        mask[slice(None) if allowed is None else allowed] = True
        # The ranking of the whole store, read deeper until it holds enough allowed rows of this shard or ends.
        everything = self._chunks.count_rows()
        limit = query.depth * everything // available + query.depth
        while True:
            row_ids, scores = match_words(self._chunks, query.text, limit)
            rows = self._rows_of(row_ids)
            mine = rows >= 0
            mine[mine] = mask[rows[mine]]
            if np.count_nonzero(mine) >= query.depth or len(row_ids) < limit:
                return rows[mine][: query.depth], scores[mine][: query.depth]
            limit *= 4

    def _words_within(self, text: str, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if not len(rows):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        row_ids, scores = match_words(self._chunks, text, len(rows), within=self._row_ids[rows])
        return self._rows_of(row_ids), scores

    def _rows_of(self, row_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers of Lance row ids; -1 for those of other shards."""
        if not len(self._sorted_row_ids):
            return np.full(len(row_ids), -1)
        at = np.searchsorted(self._sorted_row_ids, row_ids).clip(max=len(self._sorted_row_ids) - 1)
        return np.where(self._sorted_row_ids[at] == row_ids, self._by_row_id[at], -1)


class _Codes:
    """A column of few distinct strings, as small integers."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks().dictionary_encode()
        self._codes = encoded.indices.to_numpy()
        self._code_of = {value: code for code, value in enumerate(encoded.dictionary.to_pylist())}

    def isin(self, values: Sequence[str], at: slice | NDArray[np.int64]) -> NDArray[np.bool_]:
        wanted = [self._code_of[value] for value in values if value in self._code_of]
        return np.isin(self._codes[at], wanted)


def _ranges(column: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """Rows `[start, stop)` of each value of a column in which equal values lie together."""
    runs = pa.compute.run_end_encode(column.combine_chunks())
    stops = runs.run_ends.to_pylist()
    return dict(zip(runs.values.to_pylist(), zip([0, *stops[:-1]], stops, strict=True), strict=True))


def _microseconds(time: Any) -> int:
    return pa.scalar(time, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
