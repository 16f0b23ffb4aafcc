"""What a job says of bad rows: counts, and files where their names are no patient ids."""

from collections import Counter

import pyarrow as pa
import pytest

from corpus.errors import ERRORS_FILE, describe, read_errors, refuse, warnings, write_errors
from corpus.files import find_files
from corpus.settings import NotesSettings


@pytest.fixture
def files(tmp_path):
    """Two files, the second with nine tenths of the bytes."""
    (tmp_path / "MRN1.jsonl").write_text("x" * 10)
    (tmp_path / "MRN2.jsonl").write_text("x" * 90)
    return find_files(f"{tmp_path}/*.jsonl", ())


@pytest.fixture
def store(tmp_path, files):
    """Writes the error table of bad rows `(number of the file, row, reason, column)`; the folder it is in."""

    def store(*rows):
        names = ("file", "row", "reason", "column")
        table = pa.table([*zip(*rows, strict=True)] or [[]] * 4, names=names)
        write_errors(table, files, tmp_path)
        return tmp_path

    return store


BROKEN = (0, 8, "truncated_or_corrupt_file", "")
LACKING = (1, 0, "missing_column", "text")
EMPTY = (0, 3, "missing_value", "text")


NOTES = NotesSettings(path="notes")
OF_PATIENTS = NotesSettings(path="notes", format="text")


def test_bad_rows_are_counted_by_reason_and_the_first_is_named_unless_files_name_patients(store):
    folder = store(EMPTY, (0, 4, "not_json", ""), (1, 7, "missing_value", "text"))
    table = f"file and row of each: {folder / ERRORS_FILE}"
    counts = "2 missing_value (text), 1 not_json"
    assert describe(folder, NOTES) == f"{counts} (the first is {folder}/MRN1.jsonl row 3, {table})"
    assert describe(folder, OF_PATIENTS) == f"{counts} ({table})"
    assert next(read_errors(folder))["file"].endswith("MRN1.jsonl")


def test_a_warning_names_each_file_that_was_not_read_to_its_end(store):
    folder = store(EMPTY, BROKEN, LACKING)
    assert list(warnings(folder, NOTES)) == [
        f"{folder}/MRN1.jsonl was not read from row 8 on: truncated_or_corrupt_file; "
        "correct or replace it and run the job again",
        f"{folder}/MRN2.jsonl was not read at all: missing_column (text); correct or replace it and run the job again",
    ]
    assert list(warnings(folder, OF_PATIENTS)) == []


@pytest.mark.parametrize(
    ("rows", "good", "left_out", "said"),
    [
        ([], 0, {}, "no note could be read: the files hold no rows"),
        ([], 0, {"other_resource": 3}, "no note could be read: left out: 3 other_resource"),
        ([EMPTY], 0, {"withdrawn": 2}, "left out: 2 withdrawn; 1 missing_value"),
        ([EMPTY], 1, {}, None),
        ([EMPTY, BROKEN], 1, {}, "2 of 3 rows are bad, more than notes.max_bad_share=0.5: 1 missing_value"),
        ([LACKING], 1000, {}, "90 of 100 bytes are in the 1 files that cannot be read, more than notes.max_bad_share"),
        ([(0, *LACKING[1:])], 1000, {}, None),
        ([(1, 5, "unreadable_file", "")], 1000, {}, "1 files could not be read to their end; run the job again"),
    ],
)
def test_too_much_that_is_bad_is_refused_without_names(store, files, rows, good, left_out, said):
    folder = store(*rows)
    if said is None:
        refuse(folder, good, Counter(left_out), files, OF_PATIENTS)
        return
    with pytest.raises(ValueError, match=said) as caught:
        refuse(folder, good, Counter(left_out), files, OF_PATIENTS)
    assert "MRN" not in str(caught.value)
