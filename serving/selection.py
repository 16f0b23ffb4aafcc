"""Which rows of a shard a query may find."""

import numpy as np
from numpy.typing import NDArray

from serving.protocol import Filters
from serving.scope import Scope
from serving.shard_state import ShardState
from serving.vector_index import Rows

RowIds = NDArray[np.int64]
"""Lance's ids of rows: the same in every replica, whatever it has followed since."""


class Selection:
    """The rows of each part that a query may find; None for a part without any condition."""

    def __init__(self, state: ShardState, filters: Filters, scope: Scope | None) -> None:
        self._state = state
        self.rows: list[Rows | None] = []
        for part in state.parts:
            self.rows.append(part.living(part.segment.select(filters, scope)))
        self.total = sum(
            len(part.segment) if rows is None else len(rows) for part, rows in zip(state.parts, self.rows, strict=True)
        )

    def holds(self, row_ids: RowIds) -> NDArray[np.bool_]:
        """Of each row id, whether it is among them."""
        held = np.zeros(len(row_ids), bool)
        for part, rows in zip(self._state.parts, self.rows, strict=True):
            at = part.at(row_ids)
            here = at >= 0
            if rows is not None:
                mask = np.zeros(len(part.segment), bool)
                mask[rows] = True
                here[here] = mask[at[here]]
            held |= here
        return held

    def row_ids(self) -> RowIds:
        """All of them."""
        return np.concatenate(
            [
                part.segment.row_ids[slice(None) if rows is None else rows]
                for part, rows in zip(self._state.parts, self.rows, strict=True)
            ]
        )
