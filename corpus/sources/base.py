"""What a note source is: a file's rows in order, unreadable ones marked rather than raised."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

BROKEN_OFF = "truncated_or_corrupt_file"
"""The reason code of a file that breaks off: rows before it are good, how many would follow is unknown."""


class BadRow(NamedTuple):
    """A row that cannot be read: a reason code and, where it helps, the column. Never the row's content."""

    reason: str
    column: str = ""


class NoteSource(ABC):
    """Yields `(row number from 1, raw row or BadRow)`; columns are named as in `corpus.tables.NOTE_SCHEMA`.

    A file that breaks off yields a BadRow where it does, so the rows before stay usable.
    """

    @abstractmethod
    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]: ...
