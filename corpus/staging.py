"""Rows between reading and committing: good ones on disk, of the others only where they are and why.

What grows with the number of good notes is a hash of 8 bytes each, to find repeated ids by.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from corpus.reading import BATCH_ROWS, READ_SCHEMA
from corpus.sources.table import STREAMING
from corpus.tables import NOTE_SCHEMA

_GOOD_SCHEMA = pa.schema([*NOTE_SCHEMA, READ_SCHEMA.field("file"), READ_SCHEMA.field("row")])
_BAD_COLUMNS = ["file", "row", "reason", "column"]


class Staging:
    """Takes tables of `READ_SCHEMA` in any order; `finish` then says what of them is good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = pq.ParquetWriter(path, _GOOD_SCHEMA)
        self._hashes: list[np.ndarray] = []
        self._bad: list[pa.Table] = []
        self._repeated: np.ndarray = np.empty(0, np.int64)
        self.left_out: Counter[str] = Counter()
        """How many rows were left out, by reason."""

    def add(self, table: pa.Table) -> None:
        """Stage the rows of one table."""
        good = table.filter(pc.field("reason").is_null()).select(_GOOD_SCHEMA.names).cast(_GOOD_SCHEMA)
        self._writer.write_table(good)
        self._hashes.append(_hashes(good["note_id"]))
        counted = pc.field("left_out").is_valid()
        for row in table.filter(counted).to_pylist():
            self.left_out[row["reason"]] += row["left_out"]
        self._bad.append(table.filter(pc.field("reason").is_valid() & ~counted).select(_BAD_COLUMNS))

    def finish(self) -> tuple[int, pa.Table]:
        """The number of good rows and the bad ones by file and row, all but the first of a repeated id among them."""
        self._writer.close()
        duplicates = self._duplicates()
        self._repeated = _places(duplicates)
        good = sum(map(len, self._hashes)) - len(duplicates)
        self._hashes = []
        return good, pa.concat_tables([*self._bad, duplicates]).sort_by([("file", "ascending"), ("row", "ascending")])

    def good(self) -> Iterator[pa.RecordBatch]:
        """The good rows, once finished."""
        for batch in self._staged(_GOOD_SCHEMA.names):
            kept = batch.filter(pa.array(~np.isin(_places(batch), self._repeated))) if len(self._repeated) else batch
            yield kept.select(NOTE_SCHEMA.names)

    def _duplicates(self) -> pa.Table:
        hashes, counts = np.unique(np.concatenate(self._hashes or [np.empty(0, np.uint64)]), return_counts=True)
        repeated = hashes[counts > 1]
        rows: list[dict[str, Any]] = []
        if len(repeated):
            for batch in self._staged(["note_id", "file", "row"]):
                rows += batch.filter(pa.array(np.isin(_hashes(batch["note_id"]), repeated))).to_pylist()
        rows.sort(key=lambda row: (row["file"], row["row"]))
        first = {row["note_id"]: row for row in reversed(rows)}
        later = [row for row in rows if row is not first[row["note_id"]]]
        bad = [{**row, "reason": "duplicate_id", "column": "note_id"} for row in later]
        return pa.Table.from_pylist(bad, schema=READ_SCHEMA).select(_BAD_COLUMNS)

    def _staged(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self._path, **STREAMING) as staged:
            yield from staged.iter_batches(batch_size=BATCH_ROWS, columns=columns)


def _hashes(ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.fromiter((xxhash.xxh64_intdigest(each.encode()) for each in ids.to_pylist()), np.uint64, len(ids))


def _places(rows: pa.Table | pa.RecordBatch) -> np.ndarray:
    """File and row in one number."""
    file, row = (np.asarray(rows[name], np.int64) for name in ("file", "row"))
    return (file << 40) | row
