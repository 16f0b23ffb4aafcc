"""Stage 1, killed while it writes: run again, it gives the records of an uninterrupted run, byte for byte."""

import json

import pytest

from tests.end_to_end.test_kill_prepare import kill_when_there

NOTES = 4000


@pytest.mark.long
def test_a_killed_run_gives_the_records_of_an_uninterrupted_one(job, tmp_path):
    findings = ["pneumonia", "acute kidney injury (AKI) and AKI again", "no hypertension", "COPD, gout", "chest pains"]
    rows = [
        {"note_id": f"n{i}", "patient_id": str(i), "text": f"Admitted with {findings[i % 5]}. Bed {i}. " * 60}
        for i in range(NOTES)
    ]
    notes = tmp_path / "notes.jsonl"
    notes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepared = job("prepare_corpus", "prepare_corpus", f"notes.path={notes}", f"store.path={tmp_path / 'store'}")
    assert prepared.wait() == 0, prepared.output()

    def match(name):
        folders = {"store": "store", "built_graph": f"graph of {name}", "output": name}
        return job(
            "match_entities",
            "match_entities",
            *(f"{setting}.path={tmp_path / folder}" for setting, folder in folders.items()),
            "expansion.profile=nearest",
        )

    def records(name):
        return sorted((tmp_path / name / "records.jsonl").read_bytes().splitlines())

    whole = match("whole")
    assert whole.wait() == 0, whole.output()
    killed = match("killed")
    kill_when_there(killed, tmp_path / "killed.unfinished" / "records.jsonl")
    assert not (tmp_path / "killed").exists()
    resumed = match("killed")
    assert resumed.wait() == 0, resumed.output()
    assert records("killed") == records("whole")
    assert len(records("whole")) > NOTES
    for report in ("report.json", "report.html"):
        assert (tmp_path / "killed" / report).read_bytes() == (tmp_path / "whole" / report).read_bytes()
