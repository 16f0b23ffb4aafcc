"""`ray job submit` to a cluster started by `ray start --head`, token authentication on."""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from corpus.store import Store
from tests.end_to_end.conftest import free_port

TOKEN = "0123456789abcdef0123456789abcdef"
BIN = Path(sys.executable).parent
RAY = str(BIN / "ray")


@pytest.fixture
def cluster(command):
    """A head node with its own ports and temporary folder; the address of its job API."""
    temporary = tempfile.mkdtemp(prefix="drehr-ray-")
    port = free_port()
    head = command(
        *(RAY, "start", "--head", "--block", "--port", "0", "--num-cpus", "8", "--temp-dir", temporary),
        *(
            "--dashboard-port",
            str(port),
            "--dashboard-agent-listen-port",
            "0",
            "--ray-client-server-port",
            str(free_port()),
        ),
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=TOKEN,
        # What a job calls `python` is what the head node does: the environment is active there.
        PATH=f"{BIN}:{os.environ['PATH']}",
    )
    head.wait_for("Ray runtime started", timeout=120)
    yield f"http://127.0.0.1:{port}"
    head.kill()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.mark.timeout(400)
def test_a_submitted_job_runs_and_one_without_the_token_does_not(cluster, command, tmp_path):
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"note_id": "n1", "patient_id": "p1", "text": "Seen for chest pain."}) + "\n")

    def submit(token, store):
        return command(
            *(RAY, "job", "submit", "--address", cluster, "--working-dir", ".", "--"),
            *("python", "-m", "ray_jobs.prepare_corpus", "--config", "recipes/prepare_corpus.yaml"),
            *("--set", f"notes.path={notes}", "--set", f"store.path={store}"),
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=token,
        )

    assert httpx.get(f"{cluster}/api/jobs/").status_code == 401
    assert submit("wrong" * 8, tmp_path / "refused").wait() != 0
    assert not (tmp_path / "refused").exists()

    accepted = submit(TOKEN, tmp_path / "store")
    assert accepted.wait() == 0, accepted.output()
    assert "prepare_corpus: 1 notes, 1 chunks, 0 bad rows" in accepted.output()
    assert Store(tmp_path / "store").chunks().count_rows() == 1

    relative = submit(TOKEN, "runs/store")
    assert relative.wait() != 0
    assert "name an absolute output path that every node shares" in relative.output()
