import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.chunking import ChunkingSettings
from corpus.errors import read_errors
from corpus.prepare import NotesSettings, prepare_corpus
from corpus.store import Store
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA, bucket_of

pytestmark = pytest.mark.usefixtures("local_ray")


def note(i, **change):
    return {"note_id": f"n{i}", "patient_id": f"p{i % 2}", "text": "word " * 150, **change}


def write_jsonl(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def prepare(path, folder, **settings):
    folder.mkdir()
    return prepare_corpus(
        NotesSettings(path=str(path), **settings), ChunkingSettings(), folder, lambda name, done, total: None
    )


def test_notes_and_chunks_are_committed_with_their_schemas(tmp_path):
    path = write_jsonl(tmp_path / "notes.jsonl", [note(0), note(1, note_type="DS")])
    counts = prepare(path, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert counts == {"notes": 2, "chunks": 4, "bad_rows": 0}
    assert store.notes().schema == NOTE_SCHEMA
    assert store.chunks().schema == CHUNK_SCHEMA
    rows = sorted(store.chunks().to_table().to_pylist(), key=lambda row: row["chunk_id"])
    assert [row["chunk_id"] for row in rows] == ["n0_0", "n0_1", "n1_0", "n1_1"]
    assert [row["bucket"] for row in rows] == [bucket_of("p0")] * 2 + [bucket_of("p1")] * 2
    assert rows[2]["note_type"] == "DS"
    assert not list((tmp_path / "store").glob("staging*"))


def test_row_ids_are_stable(tmp_path):
    prepare(write_jsonl(tmp_path / "notes.jsonl", [note(0)]), tmp_path / "store")
    assert Store(tmp_path / "store").notes().has_stable_row_ids


def test_a_folder_of_parquet_is_read_whole(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        pq.write_table(pa.Table.from_pylist([note(i)]), tmp_path / "in" / f"{i}.parquet")
    assert prepare(tmp_path / "in", tmp_path / "store", format="parquet")["notes"] == 3


BAD_ROWS = {
    "note without id": (note(9, note_id=None), "missing_value", "note_id"),
    "note without patient": (note(9, patient_id=None), "missing_value", "patient_id"),
    "note without text": (note(9, text=None), "missing_value", "text"),
    "text of the wrong type": (note(9, text=["a"]), "wrong_type", "text"),
    "duplicate id": (note(0), "duplicate_id", "note_id"),
    "broken JSON": ("{not json\n", "not_json", ""),
    "JSON that is no object": ("[1, 2]\n", "not_an_object", ""),
}


@pytest.fixture(scope="module")
def prepared_with_bad_rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    bad = [row for row, _, _ in BAD_ROWS.values()]
    path = write_jsonl(folder / "notes.jsonl", [note(0), *bad, *(note(i) for i in range(1, 10))])
    prepare(path, folder / "store")
    return path, folder / "store"


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_set_aside_with_file_and_row(prepared_with_bad_rows, name):
    path, store = prepared_with_bad_rows
    row = 2 + list(BAD_ROWS).index(name)
    _, reason, column = BAD_ROWS[name]
    assert {"file": str(path), "row": row, "reason": reason, "column": column} in read_errors(store)


def test_good_rows_beside_bad_ones_stay_usable(prepared_with_bad_rows):
    _, store = prepared_with_bad_rows
    assert len(list(read_errors(store))) == len(BAD_ROWS)
    assert Store(store).notes().count_rows() == 10
    assert Store(store).chunks().count_rows() == 20


def test_a_duplicate_across_files_is_the_later_one(tmp_path):
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", [note(0)])
    write_jsonl(tmp_path / "in" / "b.jsonl", [note(1), note(0)])
    prepare(tmp_path / "in", tmp_path / "store")
    (error,) = read_errors(tmp_path / "store")
    assert (error["file"], error["row"]) == (str(tmp_path / "in" / "b.jsonl"), 2)


def test_rows_before_a_truncation_stay_usable(tmp_path):
    path = tmp_path / "notes.jsonl.gz"
    lines = [json.dumps(note(i, text=f"{i} {hash(i)} " * 400)) + "\n" for i in range(300)]
    whole = gzip.compress("".join(lines).encode(), compresslevel=1)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    counts = prepare(path, tmp_path / "store")
    (error,) = read_errors(tmp_path / "store")
    assert 100 < counts["notes"] < 300
    assert error == {
        "file": str(path),
        "row": counts["notes"] + 1,
        "reason": "truncated_or_corrupt_file",
        "column": "",
    }


def test_a_truncated_parquet_file_is_one_bad_row_beside_a_good_file(tmp_path):
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist([note(0)]), tmp_path / "in" / "a.parquet")
    data = (tmp_path / "in" / "a.parquet").read_bytes()
    (tmp_path / "in" / "b.parquet").write_bytes(data[:-20])
    counts = prepare(tmp_path / "in", tmp_path / "store", format="parquet")
    assert counts["notes"] == 1
    (error,) = read_errors(tmp_path / "store")
    assert error["reason"] == "truncated_or_corrupt_file"


def test_a_column_of_the_wrong_type_fails_naming_it(tmp_path):
    path = tmp_path / "notes.parquet"
    pq.write_table(pa.table({"note_id": ["a"], "patient_id": ["p"], "text": [3]}), path)
    with pytest.raises(ValueError, match=r"no note could be read: 1 wrong_type \(text\) .*errors\.jsonl"):
        prepare(path, tmp_path / "store", format="parquet")
    assert not Store(tmp_path / "store").notes_path.exists()


def test_more_bad_rows_than_allowed_fail(tmp_path):
    path = write_jsonl(tmp_path / "notes.jsonl", [note(0), note(1, text=""), note(2)])
    with pytest.raises(ValueError, match=r"1 of 3 rows are bad, more than notes.max_bad_share=0.1: 1 missing_value"):
        prepare(path, tmp_path / "store", max_bad_share=0.1)


def test_an_empty_file_fails(tmp_path):
    with pytest.raises(ValueError, match="the files hold no rows"):
        prepare(write_jsonl(tmp_path / "notes.jsonl", []), tmp_path / "store")


def test_what_is_left_out_is_counted_by_reason_and_no_error(tmp_path):
    path = tmp_path / "NOTEEVENTS.csv"
    rows = [
        "1,7,70,Nursing,,text",
        "2,7,70,Discharge summary,,text",
        "3,7,70,Discharge summary,,text",
        "4,7,,ECG,1,text",
    ]
    path.write_text("ROW_ID,SUBJECT_ID,HADM_ID,CATEGORY,ISERROR,TEXT\n" + "\n".join(rows) + "\n")
    assert prepare(path, tmp_path / "store", format="mimic3", selection="first_discharge_summary") == {
        "notes": 1,
        "chunks": 1,
        "bad_rows": 0,
        "left_out_as_later_discharge_summary": 1,
        "left_out_as_other_category": 1,
        "left_out_as_withdrawn": 1,
    }
    assert Store(tmp_path / "store").chunks().to_table()["chunk_id"].to_pylist() == ["70_0"]


def test_notes_that_are_all_left_out_are_counted(tmp_path):
    path = write_jsonl(tmp_path / "DocumentReference.ndjson", [{"resourceType": "Bundle"}] * 3)
    with pytest.raises(ValueError, match="no note could be read: left out: 3 other_resource"):
        prepare(path, tmp_path / "store", format="fhir")


@pytest.mark.parametrize(("headers", "refused"), [(["text", "txt", "txt", "txt"], True), (["text", "txt"], False)])
def test_files_of_which_nothing_is_read_count_by_their_size(tmp_path, headers, refused):
    for i, header in enumerate(headers):
        (tmp_path / "in" / str(i)).mkdir(parents=True)
        rows = "".join(f"{i}-{j},p,seen today\n" for j in range(1000))
        (tmp_path / "in" / str(i) / "discharge.csv").write_text(f"note_id,subject_id,{header}\n{rows}")
    if refused:
        said = r"bytes are in the 3 files that cannot be read, .*: 3 missing_column \(text\)"
        with pytest.raises(ValueError, match=said):
            prepare(tmp_path / "in", tmp_path / "store", format="mimic4")
    else:
        assert prepare(tmp_path / "in", tmp_path / "store", format="mimic4")["notes"] == 1000


def test_many_small_files_are_read_in_few_tasks(tmp_path):
    for i in range(2500):
        folder = tmp_path / "in" / str(i % 50)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.txt").write_text(f"note {i}")
    (tmp_path / "in" / "7" / "bad.txt").write_bytes(b"caf\xe9")
    counts = prepare(tmp_path / "in", tmp_path / "store", format="text")
    assert counts == {"notes": 2500, "chunks": 2500, "bad_rows": 1}
    (error,) = read_errors(tmp_path / "store")
    assert error == {"file": str(tmp_path / "in/7/bad.txt"), "row": 1, "reason": "not_utf8", "column": "text"}
    notes = Store(tmp_path / "store").notes().to_table().to_pylist()
    assert {(note["note_id"], note["patient_id"], note["text"]) for note in notes} == {
        (f"{i % 50}_{i}", str(i % 50), f"note {i}") for i in range(2500)
    }


def test_a_file_that_fails_while_it_is_read_fails_the_job(tmp_path):
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", [note(0)])
    (tmp_path / "in" / "b.jsonl").symlink_to("/proc/self/mem")  # opens, and then gives an input/output error
    with pytest.raises(ValueError, match=r"1 files could not be read to their end; run the job again"):
        prepare(tmp_path / "in", tmp_path / "store")


def test_a_store_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the job that writes it first"):
        Store(tmp_path / "none").chunks()
