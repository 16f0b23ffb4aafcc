"""JSON lines: one note a line, keys named as the note table's columns; other keys are ignored."""

import json
from collections.abc import Iterator
from typing import Any

from corpus.files import NoteFile
from corpus.sources.base import BadRow, NoteSource, Row


class JsonlSource(NoteSource):
    names = ("*.jsonl", "*.jsonl.gz", "*.ndjson", "*.ndjson.gz")

    def rows(self, file: NoteFile) -> Iterator[tuple[int, Row]]:
        return json_lines(file)


def json_lines(file: NoteFile) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """The object of each line with the line's number; empty lines are skipped."""
    with file.open() as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, parse_line(line)


def parse_line(line: bytes) -> dict[str, Any] | BadRow:
    """The object that a line holds."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not_utf8")
    except (ValueError, RecursionError):
        return BadRow("not_json")
    return row if isinstance(row, dict) else BadRow("not_an_object")
