from datetime import UTC, datetime

import pytest

from corpus.notes import parse_note
from corpus.sources import BadRow

GOOD = {"note_id": "n1", "patient_id": 17, "text": "Seen today."}


def test_a_plain_row_is_completed():
    note = parse_note(GOOD, "jsonl")
    assert note == {
        "note_id": "n1",
        "patient_id": "17",
        "text": "Seen today.",
        "encounter_id": None,
        "note_type": "unknown",
        "source": "jsonl",
        "version": 1,
        "note_time": None,
    }


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({"note_id": None}, BadRow("missing_value", "note_id")),
        ({"note_id": " "}, BadRow("missing_value", "note_id")),
        ({"patient_id": ""}, BadRow("missing_value", "patient_id")),
        ({"text": "\n"}, BadRow("missing_value", "text")),
        ({"text": 5}, BadRow("wrong_type", "text")),
        ({"patient_id": 1.5}, BadRow("wrong_type", "patient_id")),
        ({"patient_id": True}, BadRow("wrong_type", "patient_id")),
        ({"note_type": ["DS"]}, BadRow("wrong_type", "note_type")),
        ({"version": "new"}, BadRow("wrong_type", "version")),
        ({"version": 10**23}, BadRow("out_of_range", "version")),
        ({"text": "half a pair \ud800"}, BadRow("not_unicode", "text")),
        ({"note_time": "0001-01-01T00:00:00+05:00"}, BadRow("out_of_range", "note_time")),
        ({"note_time": "yesterday"}, BadRow("not_a_time", "note_time")),
        ({"note_time": 20200101}, BadRow("wrong_type", "note_time")),
    ],
)
def test_a_bad_value_is_named_by_column_and_never_quoted(change, bad):
    assert parse_note({**GOOD, **change}, "jsonl") == bad


@pytest.mark.parametrize(
    "value",
    ["2180-05-07T23:00:00-01:00", "2180-05-08", "2180-05-08 00:00:00", datetime(2180, 5, 8)],
)
def test_times_become_utc(value):
    assert parse_note({**GOOD, "note_time": value}, "jsonl")["note_time"] == datetime(2180, 5, 8, tzinfo=UTC)


def test_an_empty_version_is_the_first():
    assert parse_note({**GOOD, "version": None}, "jsonl")["version"] == 1
