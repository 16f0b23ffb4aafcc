"""MIMIC-IV-Note and MIMIC-III, in their published columns."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from corpus.settings import NotesSettings

MIMIC4 = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
MIMIC3 = (
    '"ROW_ID","SUBJECT_ID","HADM_ID","CHARTDATE","CHARTTIME","STORETIME","CATEGORY","DESCRIPTION","CGID",'
    '"ISERROR","TEXT"\n'
)
NOTEEVENTS = MIMIC3 + (
    '174,22532,167853,2151-08-04,,,"Discharge summary","Report",,,"Admission Date:  [**2151-7-16**]\n'
    'Service:\nADDENDUM:"\n'
    '175,13702,107527,2118-06-14,,,"Discharge summary","Report",,,"First."\n'
    '176,13702,107527,2118-06-14,,,"Discharge summary","Addendum",,,"Second."\n'
    '177,13702,107527,2118-06-14,2118-06-14 09:10:00,,"Nursing","Report",14,,"Turned."\n'
    '178,13702,107530,2118-06-15,,,"Discharge summary","Report",14,1,"Wrong patient."\n'
    '179,13702,107530,2118-06-16,,,"Discharge summary","Report",14,,"Right patient."\n'
)


def test_mimic4_becomes_notes(write, read):
    path = write(
        "discharge.csv.gz", MIMIC4 + '10-DS-21,10,22,DS,21,2180-05-07 00:00:00,2180-05-09 15:26:00,"Name: ___"\n'
    )
    assert read(path, format="mimic4").notes == {
        1: {
            "note_id": "10-DS-21",
            "patient_id": "10",
            "encounter_id": "22",
            "note_type": "DS",
            "note_time": "2180-05-07 00:00:00",
            "text": "Name: ___",
        }
    }


def test_a_radiology_report_may_have_no_admission(write, read):
    path = write("radiology.csv", MIMIC4 + '10-RR-1,10,,RR,1,2180-05-07 00:00:00,,"EXAM"\n')
    assert read(path, format="mimic4").notes[1]["encounter_id"] is None


def test_of_a_mimic4_folder_the_note_tables_are_read(write, read, tmp_path):
    write("note/discharge.csv.gz", MIMIC4 + "a,1,2,DS,1,,,t\n")
    write("note/radiology.csv.gz", MIMIC4 + "b,1,2,RR,1,,,t\n")
    write("note/discharge_detail.csv.gz", "note_id,subject_id,field_name,field_value,field_ordinal\na,1,author,___,1\n")
    write("LICENSE.txt", "a licence")
    files = NotesSettings(path=str(tmp_path), format="mimic4").files()
    assert [file.relative().name for file in files] == ["discharge.csv.gz", "radiology.csv.gz"]


def test_mimic3_becomes_notes(write, read):
    found = read(write("NOTEEVENTS.csv", NOTEEVENTS), format="mimic3")
    assert found.notes[1] == {
        "note_id": "174",
        "patient_id": "22532",
        "encounter_id": "167853",
        "note_type": "Discharge summary",
        "note_time": "2151-08-04",
        "text": "Admission Date:  [**2151-7-16**]\nService:\nADDENDUM:",
    }
    assert found.notes[4]["note_time"] == "2118-06-14 09:10:00"
    assert list(found.notes) == [1, 2, 3, 4, 6]
    assert found.left_out == ["withdrawn"]


@pytest.mark.parametrize(
    ("marks", "withdrawn"),
    [(("1", " 1", "1.0", "01", "Y"), True), (("", " ", "0", " 0", "0.0", "NULL"), False)],
)
def test_a_note_marked_as_an_error_in_any_writing_is_withdrawn(write, read, marks, withdrawn):
    for mark in marks:
        found = read(write("NOTEEVENTS.csv", NOTEEVENTS.replace(",14,1,", f",14,{mark},")), format="mimic3")
        assert (found.left_out, 5 in found.notes) == (["withdrawn"] * withdrawn, not withdrawn)


@pytest.mark.parametrize("marks", [pa.array([None, 0, 1]), pa.array([None, 0.0, 1.0]), pa.array(["", "0", "1"])])
def test_a_parquet_table_marks_errors_in_its_own_type(tmp_path, read, marks):
    three = pa.array([7, 8, 9])
    table = {"ROW_ID": three, "SUBJECT_ID": three, "ISERROR": marks, "TEXT": pa.array(["a", "b", "c"])}
    pq.write_table(pa.table(table), tmp_path / "noteevents.parquet")
    found = read(tmp_path / "noteevents.parquet", format="mimic3")
    assert (list(found.notes), found.left_out) == ([1, 2], ["withdrawn"])


def test_the_first_discharge_summary_of_each_admission_is_named_by_it(write, read):
    found = read(write("NOTEEVENTS.csv.gz", NOTEEVENTS), format="mimic3", selection="first_discharge_summary")
    assert {note["note_id"]: note["text"].split("\n")[0] for note in found.notes.values()} == {
        "167853": "Admission Date:  [**2151-7-16**]",
        "107527": "First.",
        "107530": "Right patient.",
    }
    assert found.left_out == ["later_discharge_summary", "other_category", "withdrawn"]


def test_mimic3_needs_the_column_that_marks_errors(write, read):
    found = read(write("NOTEEVENTS.csv", NOTEEVENTS.replace("ISERROR", "ERR")), format="mimic3")
    assert found.bad == {0: ("missing_column", "iserror")}


def test_of_mimic4_discharge_summaries_alone_may_be_taken(write, read, tmp_path):
    rows = "10-DS-21,10,22,DS,21,,,Summary\n10-AD-22,10,22,AD,22,,,Addendum\n"
    found = read(write("discharge.csv", MIMIC4 + rows), format="mimic4", selection="first_discharge_summary")
    assert [note["note_id"] for note in found.notes.values()] == ["10-DS-21"]
    assert found.left_out == ["other_type"]
    write("radiology.csv", MIMIC4 + "b,1,2,RR,1,,,t\n")
    settings = NotesSettings(path=str(tmp_path), format="mimic4", selection="first_discharge_summary")
    assert [file.relative().name for file in settings.files()] == ["discharge.csv"]


def test_a_selection_is_of_mimic(tmp_path):
    with pytest.raises(ValidationError, match="first_discharge_summary is for mimic3 and mimic4 only"):
        NotesSettings(path=str(tmp_path), format="omop", selection="first_discharge_summary")
