"""What a note source is: a file's rows in order, unreadable ones marked rather than raised."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from corpus.files import NoteFile

REQUIRED = ("note_id", "patient_id", "text")
"""The columns that every note has."""


class BadRow(NamedTuple):
    """A row that cannot be read: a reason code and, where it helps, the column. Never the row's content."""

    reason: str
    column: str = ""


class LeftOut(NamedTuple):
    """A sound row that is not wanted, such as a withdrawn note: counted by reason, no error."""

    reason: str


Row = dict[str, Any] | BadRow | LeftOut


class NoteSource(ABC):
    """Yields `(row number from 1, row)`; columns are named as in `corpus.tables.NOTE_SCHEMA`.

    A bad row 0 says why nothing of the file can be read. Where a file breaks off, one of `corpus.files.BREAKING_OFF`
    is raised after the rows before.
    """

    names: ClassVar[tuple[str, ...]]
    """Of a folder, the files whose lower-cased names match one of these."""
    beside: ClassVar[str] = ""
    """Files beside the note files that hold parts of the notes."""

    @abstractmethod
    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]: ...
