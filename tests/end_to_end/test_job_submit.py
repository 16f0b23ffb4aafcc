"""`ray job submit` to a cluster started by `ray start --head`, token authentication on."""

import json

import httpx
import pytest

from corpus.store import Store


@pytest.mark.timeout(400)
def test_a_submitted_job_runs_and_one_without_the_token_does_not(cluster, tmp_path):
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"note_id": "n1", "patient_id": "p1", "text": "Seen for chest pain."}) + "\n")

    def submit(store, **token):
        return cluster.submit("prepare_corpus", "prepare_corpus", f"notes.path={notes}", f"store.path={store}", **token)

    assert httpx.get(f"{cluster.address}/api/jobs/").status_code == 401
    assert submit(tmp_path / "refused", token="wrong" * 8).wait() != 0
    assert not (tmp_path / "refused").exists()

    accepted = submit(tmp_path / "store")
    assert accepted.wait() == 0, accepted.output()
    assert "prepare_corpus: 1 notes, 1 chunks, 0 bad rows" in accepted.output()
    assert Store(tmp_path / "store").chunks().count_rows() == 1

    relative = submit("runs/store")
    assert relative.wait() != 0
    assert "name an absolute output path that every node shares" in relative.output()
