"""Small note files in their published formats, and what a source makes of them."""

import gzip

import pytest

from corpus.reading import file_rows
from corpus.settings import NotesSettings
from corpus.sources import BadRow, LeftOut


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes into a file below the test's folder, packed where its name says so."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


class Read:
    """The rows of a path: `notes` and `bad` by row number, `left_out` reasons in order."""

    def __init__(self, path, **settings):
        notes = NotesSettings(path=str(path), **settings)
        rows = [row for file in notes.files() for row in file_rows(file, notes.source())]
        self.notes = {number: row for number, row in rows if isinstance(row, dict)}
        self.bad = {number: tuple(row) for number, row in rows if isinstance(row, BadRow)}
        self.left_out = [row.reason for _, row in rows if isinstance(row, LeftOut)]


@pytest.fixture
def read():
    return Read
