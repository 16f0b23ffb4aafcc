"""OMOP's NOTE table, CSV in either case and Parquet."""

from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.settings import NotesSettings

COLUMNS = (
    "note_id,person_id,note_date,note_datetime,note_type_concept_id,note_class_concept_id,note_title,note_text,"
    "encoding_concept_id,language_concept_id,provider_id,visit_occurrence_id,visit_detail_id,note_source_value,"
    "note_event_id,note_event_field_concept_id"
)
ROW = '1,2,2020-01-02,2020-01-02 03:04:05,32817,706391,Progress note,"Doing well",32678,4180186,,77,,,,'
EXPECTED = {
    "note_id": "1",
    "patient_id": "2",
    "encounter_id": "77",
    "note_type": "Progress note",
    "note_time": "2020-01-02 03:04:05",
    "text": "Doing well",
}


@pytest.mark.parametrize("header", [COLUMNS, COLUMNS.upper()])
def test_csv_becomes_notes(write, read, header):
    assert read(write("NOTE.csv", f"{header}\n{ROW}\n"), format="omop").notes == {1: EXPECTED}


def test_what_is_empty_falls_back(write, read):
    row = ROW.replace("2020-01-02 03:04:05", "").replace("Progress note", "")
    (note,) = read(write("note.csv", f"{COLUMNS}\n{row}\n"), format="omop").notes.values()
    assert (note["note_time"], note["note_type"]) == ("2020-01-02", "706391")


def test_parquet_becomes_notes(tmp_path, read):
    table = {
        "NOTE_ID": [1],
        "PERSON_ID": [2],
        "NOTE_DATE": [date(2020, 1, 2)],
        "NOTE_DATETIME": [datetime(2020, 1, 2, 3, 4, 5)],
        "NOTE_TITLE": ["Progress note"],
        "NOTE_TEXT": ["Doing well"],
        "VISIT_OCCURRENCE_ID": [77],
    }
    pq.write_table(pa.table(table), tmp_path / "note.parquet")
    expected = {
        **EXPECTED,
        "note_id": 1,
        "patient_id": 2,
        "encounter_id": 77,
        "note_time": datetime(2020, 1, 2, 3, 4, 5),
    }
    assert read(tmp_path / "note.parquet", format="omop").notes == {1: expected}


def test_of_an_omop_folder_the_note_table_is_read(write, tmp_path):
    write("NOTE.csv", f"{COLUMNS}\n{ROW}\n")
    write("note_nlp.csv", "note_nlp_id,note_id\n1,1\n")
    write("person.csv", "person_id\n2\n")
    files = NotesSettings(path=str(tmp_path), format="omop").files()
    assert [file.relative().name for file in files] == ["NOTE.csv"]
