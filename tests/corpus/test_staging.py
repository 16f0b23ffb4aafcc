"""What of the rows that were read is good, in whatever order they come."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.reading import READ_SCHEMA
from corpus.staging import Staging
from corpus.tables import NOTE_SCHEMA


def good(file, row, note_id):
    note = {"note_id": note_id, "version": 1, "patient_id": "p", "note_type": "DS", "text": "t", "source": "s"}
    return {**note, "file": file, "row": row}


def bad(file, row, reason="not_json"):
    return {"file": file, "row": row, "reason": reason, "column": ""}


def stage(folder, *tables):
    staging = Staging(folder / "staging.parquet")
    for rows in tables:
        staging.add(pa.Table.from_pylist(rows, schema=READ_SCHEMA))
    return staging


def ids(staging):
    return [note_id for batch in staging.good() for note_id in batch["note_id"].to_pylist()]


def test_the_first_of_a_repeated_id_by_file_and_row_is_good(tmp_path):
    staging = stage(tmp_path, [good(1, 1, "a"), good(0, 9, "b")], [good(0, 2, "b"), good(0, 3, "a"), good(0, 4, "c")])
    count, errors = staging.finish()
    assert count == 3
    assert [(e["file"], e["row"], e["reason"], e["column"]) for e in errors.to_pylist()] == [
        (0, 9, "duplicate_id", "note_id"),
        (1, 1, "duplicate_id", "note_id"),
    ]
    assert sorted(ids(staging)) == ["a", "b", "c"]
    assert next(staging.good()).schema.equals(NOTE_SCHEMA)


def test_two_ids_with_the_same_hash_are_no_duplicates(tmp_path, monkeypatch):
    monkeypatch.setattr("corpus.staging.xxhash.xxh64_intdigest", lambda note_id: 7)
    staging = stage(tmp_path, [good(0, i, str(i)) for i in range(4)])
    assert staging.finish()[0] == 4


def test_bad_rows_and_duplicates_are_in_the_order_of_the_files(tmp_path):
    staging = stage(tmp_path, [bad(1, 3), bad(0, 5)], [good(0, 1, "a"), good(0, 6, "a"), bad(0, 2)])
    assert [(e["file"], e["row"]) for e in staging.finish()[1].to_pylist()] == [(0, 2), (0, 5), (0, 6), (1, 3)]


def test_what_is_left_out_is_counted_and_no_error(tmp_path):
    withdrawn = {"file": 0, "reason": "withdrawn"}
    staging = stage(tmp_path, [{**withdrawn, "left_out": 3}], [good(0, 1, "a"), {**withdrawn, "left_out": 2}])
    count, errors = staging.finish()
    assert (count, len(errors), staging.left_out) == (1, 0, {"withdrawn": 5})


def test_nothing_staged_is_nothing_good(tmp_path):
    staging = stage(tmp_path)
    assert staging.finish()[0] == 0
    assert ids(staging) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("staging")


@given(rows=st.lists(st.sampled_from("abcde"), max_size=30), data=st.data())
def test_the_result_does_not_depend_on_the_order_of_arrival(folder, rows, data):
    notes = [good(i % 3, i, note_id) for i, note_id in enumerate(rows)]
    arrived = data.draw(st.permutations(notes))
    in_order = stage(folder, notes)
    count, errors = in_order.finish()
    assert count == len(set(rows))
    assert sorted(ids(in_order)) == sorted(set(rows))
    as_arrived = stage(folder, arrived[:7], arrived[7:])
    assert as_arrived.finish() == (count, errors)
    assert sorted(ids(as_arrived)) == sorted(set(rows))
