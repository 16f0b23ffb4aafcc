"""A folder of UTF-8 text files, `<patient_id>/<note_id>.txt`; one that lies in no such folder is its own patient."""

from collections.abc import Iterator

from corpus.files import BREAKING_OFF, NoteFile
from corpus.sources.base import BROKEN_OFF, BadRow, NoteSource, Row


class TextSource(NoteSource):
    names = ("*.txt", "*.txt.gz")

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        relative = file.relative()
        note_id = relative.name.removesuffix(".gz").removesuffix(".txt")
        try:
            with file.open() as stream:
                text = stream.read().decode("utf-8-sig")
        except BREAKING_OFF:
            yield 1, BadRow(BROKEN_OFF)
        except UnicodeDecodeError:
            yield 1, BadRow("not_utf8", "text")
        else:
            yield 1, {"note_id": note_id, "patient_id": relative.parent.name or note_id, "text": text}
