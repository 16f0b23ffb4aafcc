"""Rows in patient order beside their vectors: which of them a filter allows, and the nearest among those."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from serving.protocol import Filters
from serving.scope import Scope
from serving.vector_index import Rows, VectorIndex

KEPT_SCOPES = 16
"""8 bytes a row each."""
MANY = 0.2
"""Of all patients: from there on it is faster to look at every row than to list those of each."""


class Segment:
    """Rows that do not change: a release's shard, or what came since."""

    def __init__(self, rows: pa.Table, index: VectorIndex) -> None:
        """`rows` has the columns of a chunk and `row_id`, equal patients together; `index` has their vectors."""
        self.rows = rows
        self.index = index
        # Times that know their zone take ten times as long to make and to send.
        utc = rows["note_time"].cast(pa.timestamp("us"))
        self._contents = rows.set_column(rows.schema.get_field_index("note_time"), "note_time", utc)
        self.versions = rows["version"].to_numpy()
        self.row_ids = rows["row_id"].to_numpy().astype(np.int64)
        self._by_row_id = np.argsort(self.row_ids)
        self._sorted_row_ids = self.row_ids[self._by_row_id]
        self._run_of, self._starts, self._stops = _runs(rows["patient_id"])
        self._types = _Codes(rows["note_type"])
        self._sources = _Codes(rows["source"])
        # Missing times become the lowest value, which is in no range.
        self._times = rows["note_time"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
        self._scopes: OrderedDict[str, Rows] = OrderedDict()
        self._scopes_lock = Lock()

    def __len__(self) -> int:
        return len(self.row_ids)

    def has_patient(self, patient: str) -> bool:
        """Whether the patient has rows."""
        return patient in self._run_of

    def of_patients(self, patients: Collection[str]) -> Rows:
        """The rows of these patients."""
        runs = np.array(sorted({self._run_of[each] for each in patients if each in self._run_of}), np.int64)
        if len(runs) > MANY * len(self._starts):
            named = np.zeros(len(self._starts), bool)
            named[runs] = True
            return np.flatnonzero(np.repeat(named, self._stops - self._starts))
        starts, lengths = self._starts[runs], self._stops[runs] - self._starts[runs]
        before = np.cumsum(lengths) - lengths
        return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)

    def of_notes(self, notes: Sequence[str]) -> Rows:
        """The rows of these notes."""
        return np.flatnonzero(pc.is_in(self.rows["note_id"], pa.array(notes, pa.string())).to_numpy())

    def at(self, row_ids: Rows) -> NDArray[np.int64]:
        """Row numbers of Lance row ids; -1 for those of other segments."""
        if not len(self):
            return np.full(len(row_ids), -1)
        at = np.minimum(np.searchsorted(self._sorted_row_ids, row_ids), len(self) - 1)
        return np.where(self._sorted_row_ids[at] == row_ids, self._by_row_id[at], -1)

    def _of_scope(self, scope: Scope) -> Rows:
        """The rows of the scope's patients; kept for the scopes that were asked for last."""
        with self._scopes_lock:
            if scope.id not in self._scopes:
                self._scopes[scope.id] = self.of_patients(scope.patients)
            self._scopes.move_to_end(scope.id)
            if len(self._scopes) > KEPT_SCOPES:
                self._scopes.popitem(last=False)
            return self._scopes[scope.id]

    def select(self, filters: Filters, scope: Scope | None = None) -> Rows | None:
        """The rows that pass and are of a patient in the scope; None when there is no condition."""
        rows: Rows | None = None
        if filters.patient_ids is not None:
            rows = self.of_patients({*filters.patient_ids} & scope.patients if scope else filters.patient_ids)
        elif scope is not None:
            rows = self._of_scope(scope)
        conditions: list[Callable[[slice | Rows], NDArray[np.bool_]]] = []
        if filters.note_types is not None:
            conditions.append(partial(self._types.isin, filters.note_types))
        if filters.sources is not None:
            conditions.append(partial(self._sources.isin, filters.sources))
        if filters.time_from is not None or filters.time_to is not None:
            conditions.append(partial(self._within, filters.time_from, filters.time_to))
        for passes in conditions:
            rows = np.flatnonzero(passes(slice(None))) if rows is None else rows[passes(rows)]
        return rows

    def _within(self, since: datetime | None, until: datetime | None, at: slice | Rows) -> NDArray[np.bool_]:
        """Of rows, whether they have a time in `[since, until)`."""
        times = self._times[at]
        passed = times != np.iinfo(np.int64).min
        if since is not None:
            passed &= times >= _microseconds(since)
        if until is not None:
            passed &= times < _microseconds(until)
        return passed

    def nearest(self, queries: NDArray[np.float32], depth: int, rows: Rows | None = None) -> list[Rows]:
        """The best `depth` rows (or all there are) of each query vector (queries, dimension), among `rows` if given."""
        depth = min(depth, len(self) if rows is None else len(rows))
        if not depth:
            return [np.empty(0, np.int64) for _ in queries]
        return self.index.nearest(queries, depth, rows)

    def contents(self, rows: Rows, columns: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of rows; times are in UTC without saying so."""
        return self._contents.select(columns).take(pa.array(rows)).to_pylist()

    def cosines(self, query: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
        """Of these rows with a query vector (dimension,)."""
        return self.index.vectors[rows].astype(np.float32, copy=False) @ query


class _Codes:
    """A column of few distinct strings, as small integers."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        encoded = column.combine_chunks().dictionary_encode()
        self._codes = encoded.indices.to_numpy()
        self._code_of = {value: code for code, value in enumerate(encoded.dictionary.to_pylist())}

    def isin(self, values: Sequence[str], at: slice | Rows) -> NDArray[np.bool_]:
        wanted = np.zeros(len(self._code_of), bool)
        wanted[[self._code_of[value] for value in values if value in self._code_of]] = True
        return wanted[self._codes[at]]


def _runs(column: pa.ChunkedArray) -> tuple[dict[str, int], Rows, Rows]:
    """A column in which equal values lie together: the run of each value, and where the runs begin and end."""
    runs = pc.run_end_encode(column.combine_chunks())
    stops = runs.run_ends.to_numpy().astype(np.int64)
    return {value: run for run, value in enumerate(runs.values.to_pylist())}, np.append(0, stops)[:-1], stops


def _microseconds(time: datetime) -> int:
    return pa.scalar(time, pa.timestamp("us", tz="UTC")).cast(pa.int64()).as_py()
