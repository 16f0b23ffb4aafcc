"""JSON lines, plain or gzip: one note a line, keys named as the note table's columns; other keys are ignored."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.sources.base import BROKEN_OFF, BadRow, NoteSource


class JsonlSource(NoteSource):
    def rows(self, path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        number = 0
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield number, _parse(line)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield number + 1, BadRow(BROKEN_OFF)


def _parse(line: bytes) -> dict[str, Any] | BadRow:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not_utf8")
    except (ValueError, RecursionError):
        return BadRow("not_json")
    return row if isinstance(row, dict) else BadRow("not_an_object")
