"""A folder of UTF-8 text files, `<patient_id>/<name>.txt`; one that lies in no such folder is its own patient."""

from collections.abc import Iterator

from corpus.files import NoteFile
from corpus.sources.base import BadRow, NoteSource, Row


class TextSource(NoteSource):
    names = ("*.txt", "*.txt.gz")

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        relative = file.relative()
        patient, name = relative.parent.name, relative.name.removesuffix(".gz").removesuffix(".txt")
        try:
            with file.open() as stream:
                text = stream.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            yield 1, BadRow("not_utf8", "text")
        else:
            # Every patient may have a discharge.txt.
            note_id = f"{patient}_{name}" if patient else name
            yield 1, {"note_id": note_id, "patient_id": patient or name, "text": text}
