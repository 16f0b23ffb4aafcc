"""JSON lines: one note a line, keys named as the note table's columns; other keys are ignored."""

from collections.abc import Iterator

from corpus.files import NoteFile
from corpus.sources.base import NoteSource, Row
from corpus.sources.lines import json_lines


class JsonlSource(NoteSource):
    names = ("*.jsonl", "*.jsonl.gz", "*.ndjson", "*.ndjson.gz")

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        return json_lines(file)
