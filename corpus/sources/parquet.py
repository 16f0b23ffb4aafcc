"""Parquet, columns named as the note table's; other columns are ignored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.sources.base import BROKEN_OFF, BadRow, NoteSource
from corpus.tables import NOTE_SCHEMA

BATCH_ROWS = 1000


class ParquetSource(NoteSource):
    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        number = 0
        try:
            file = pq.ParquetFile(path)
            columns = [name for name in NOTE_SCHEMA.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        except (pa.ArrowInvalid, OSError):
            yield number + 1, BadRow(BROKEN_OFF)
