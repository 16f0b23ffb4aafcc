"""Where the notes are, in which format, and which of them are wanted."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from corpus.files import NoteFile, find_files, fingerprint
from corpus.sources import SOURCES, Format, NoteSource
from corpus.sources.note_tables import Mimic3FirstDischargeSummary, Mimic4DischargeSummaries

_DISCHARGE_SUMMARIES: dict[Format, type[NoteSource]] = {
    "mimic3": Mimic3FirstDischargeSummary,
    "mimic4": Mimic4DischargeSummaries,
}


class NotesSettings(BaseModel):
    """Where the notes are."""

    path: str
    """A file, a folder, a glob, or any of them as a URL (`s3://bucket/folder/*.ndjson?region=...`)."""
    format: Format = "jsonl"
    selection: Literal["all", "first_discharge_summary"] = "all"
    """Of `mimic3` and `mimic4`: every note, or one an admission as DR.EHR and CliniQ take them."""
    max_bad_share: float = Field(default=0.5, ge=0, le=1)
    """Bad rows are set aside in an error table; above this share of the rows, or with more than this share of the
    files' bytes in files of which nothing could be read, the job fails instead."""

    @model_validator(mode="after")
    def _selection_fits_the_format(self) -> "NotesSettings":
        if self.selection != "all" and self.format not in _DISCHARGE_SUMMARIES:
            raise ValueError(f"selection: {self.selection} is for {' and '.join(_DISCHARGE_SUMMARIES)} only")
        return self

    def source(self) -> NoteSource:
        """A new reader of the format."""
        return (SOURCES if self.selection == "all" else _DISCHARGE_SUMMARIES)[self.format]()

    @property
    def files_name_patients(self) -> bool:
        """Whether the names of files or folders are patient ids, which no message may hold."""
        return self.format == "text"

    def files(self) -> list[NoteFile]:
        """The files, sorted. Raises FileNotFoundError naming the path when there are none or they cannot be opened."""
        try:
            return find_files(self.path, self.source().names)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"notes.path: {error}") from None

    def fingerprint(self, files: list[NoteFile]) -> str:
        """Changes with any of the files and with those beside them that hold parts of the notes."""
        beside = self.source().beside
        folders = {file.name.rpartition("/")[0]: file for file in files} if beside else {}
        return fingerprint([*files, *(part for file in folders.values() for part in file.beside(beside))])
