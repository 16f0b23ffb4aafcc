"""Grouping of Arrow columns by numpy, for tables of tens of millions of rows."""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Column: TypeAlias = pa.Array | pa.ChunkedArray


def codes(column: Column) -> np.ndarray:
    """The same number for the same string, counted from 0 in the order of first occurrence."""
    return positions(column, column.unique())


def positions(column: Column, of: Column) -> np.ndarray:
    """The place of each string in `of`, whose strings are distinct; -1 where it is not there."""
    return pc.fill_null(pc.index_in(column, value_set=of), -1).to_numpy().astype(np.int64)


def renamed(column: Column, new: Mapping[str, str]) -> Column:
    """The strings, those that `new` knows replaced."""
    known = pc.index_in(column, value_set=pa.array(list(new), pa.string()))
    return pc.coalesce(pc.take(pa.array(list(new.values()), pa.string()), known), column)


def first_rows(*keys: np.ndarray) -> np.ndarray:
    """The rows that are the first with their combination of keys, in order; keys are not negative."""
    combined = keys[0].astype(np.int64)
    for key in keys[1:]:
        combined = combined * (int(key.max(initial=0)) + 1) + key
    return np.sort(np.unique(combined, return_index=True)[1])


def best_rows(group: np.ndarray, *ranks: np.ndarray) -> np.ndarray:
    """For each group, in order of its number, the row with the lowest rank; the first ranking decides most."""
    order = np.lexsort((*reversed(ranks), group))
    return order[np.unique(group[order], return_index=True)[1]]


def lists(rows: np.ndarray, values: pa.Array, n_rows: int, *order: np.ndarray) -> pa.ListArray:
    """One list per row, from 0 to `n_rows`: the values that belong to it, by `order`, else as they come."""
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values.take(pa.array(np.lexsort((*order, rows)))))


def distinct_lists(rows: np.ndarray, values: pa.Array, n_rows: int) -> pa.ListArray:
    """`lists` with each value once."""
    first = first_rows(rows, codes(values))
    return lists(rows[first], values.take(pa.array(first)), n_rows)


def distinct(table: pa.Table) -> pa.Table:
    """The table with each row once, in an order that the order of its rows decides, though not always the same."""
    return table.group_by(table.column_names, use_threads=False).aggregate([]).cast(table.schema)
