"""The error table of a store, and what of it may be said: where names of files are patient ids, they are not."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.files import NoteFile
from corpus.reading import BATCH_ROWS, BROKEN_OFF, UNREADABLE
from corpus.settings import NotesSettings

ERRORS_FILE = "errors.jsonl"


def write_errors(bad: pa.Table, files: Sequence[NoteFile], store: Path) -> None:
    """The bad rows (number of the file, row, reason, column) as lines with the file's name."""
    with (store / ERRORS_FILE).open("w") as lines:
        for batch in bad.to_batches(max_chunksize=BATCH_ROWS):
            for row in batch.to_pylist():
                lines.write(json.dumps({**row, "file": files[row["file"]].name}) + "\n")


def read_errors(store: Path) -> Iterator[dict[str, Any]]:
    """The error table of a store: file, row, reason and column of each bad row, by file and row."""
    with (store / ERRORS_FILE).open() as lines:
        yield from map(json.loads, lines)


def describe(store: Path, notes: NotesSettings) -> str:
    """The bad rows of a store counted by reason, the first by file and row, and where each of them is named."""
    counts = Counter(map(_reason, read_errors(store)))
    first = "" if notes.files_name_patients else "the first is {file} row {row}, ".format(**next(read_errors(store)))
    return f"{_counted(counts)} ({first}file and row of each: {store / ERRORS_FILE})"


def warnings(store: Path, notes: NotesSettings) -> Iterator[str]:
    """What to do about each file of which all or the end could not be read; none where files name patients."""
    for error in () if notes.files_name_patients else read_errors(store):
        if error["row"] == 0 or error["reason"] == BROKEN_OFF:
            part = f"from row {error['row']} on" if error["row"] else "at all"
            yield f"{error['file']} was not read {part}: {_reason(error)}; correct or replace it and run the job again"


def refuse(store: Path, good: int, left_out: Counter[str], files: Sequence[NoteFile], notes: NotesSettings) -> None:
    """Raises ValueError when too much is bad to go on.

    That is: a file that could not be read to its end though it is whole, no good row, or more than
    `notes.max_bad_share` bad of the rows, or of the files' bytes in files of which nothing could be read.
    """
    reasons = Counter(error["reason"] for error in read_errors(store))
    unread = {error["file"] for error in read_errors(store) if error["row"] == 0}
    bad_rows = reasons.total()
    if unreadable := reasons[UNREADABLE]:
        said = f"{unreadable} files could not be read to their end; run the job again"
        raise ValueError(f"{said}: {describe(store, notes)}")
    if good == 0:
        why = [f"left out: {_counted(left_out)}"] if left_out else []
        why += [describe(store, notes)] if bad_rows else []
        raise ValueError(f"no note could be read: {'; '.join(why) or 'the files hold no rows'}")
    unread_bytes = sum(file.size for file in files if file.name in unread)
    for bad, total, what in (
        (bad_rows, good + bad_rows, "rows are bad"),
        (unread_bytes, sum(file.size for file in files), f"bytes are in the {len(unread)} files that cannot be read"),
    ):
        if bad > notes.max_bad_share * total:
            limit = f"notes.max_bad_share={notes.max_bad_share}"
            raise ValueError(f"{bad:,} of {total:,} {what}, more than {limit}: {describe(store, notes)}")


def _reason(error: dict[str, Any]) -> str:
    return error["reason"] + (f" ({error['column']})" if error["column"] else "")


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
