"""Note sources: one file a format, all yielding raw rows that `corpus.notes` turns into the note table."""

from corpus.sources.base import BROKEN_OFF, BadRow, NoteSource
from corpus.sources.jsonl import JsonlSource
from corpus.sources.parquet import ParquetSource

SOURCES: dict[str, type[NoteSource]] = {"jsonl": JsonlSource, "parquet": ParquetSource}

__all__ = ["BROKEN_OFF", "SOURCES", "BadRow", "NoteSource"]
