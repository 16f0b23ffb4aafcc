"""Parquet, columns named as the note table's; other columns are ignored."""

from typing import ClassVar

from corpus.sources.table import Columns, TableSource
from corpus.tables import NOTE_SCHEMA


class ParquetSource(TableSource):
    names = ("*.parquet",)
    columns: ClassVar[Columns] = {name: (name,) for name in NOTE_SCHEMA.names}
