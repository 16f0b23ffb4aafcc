"""What a user sees of single jobs: one line and an exit code when something is wrong."""

import json
import socket
import sys


def test_a_missing_file_is_one_line_and_code_2(job, tmp_path):
    run = job("prepare_corpus", "prepare_corpus", f"store.path={tmp_path / 'store'}", "notes.path=nowhere.jsonl")
    assert run.wait() == 2
    assert run.output().splitlines()[-1].startswith("error: notes.path: nowhere.jsonl: no such file or folder")
    assert "Traceback" not in run.output()


def test_bad_data_is_one_line_and_code_1_and_nothing_looks_finished(job, tmp_path):
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"note_id": "n", "text": "a text with a canary"}) + "\n")
    run = job("prepare_corpus", "prepare_corpus", f"store.path={tmp_path / 'store'}", f"notes.path={notes}")
    assert run.wait() == 1
    said = f"error: no note could be read: 1 missing_value (patient_id) (the first is {notes} row 1, "
    assert run.output().splitlines()[-1].startswith(said)
    assert "Traceback" not in run.output()
    assert "canary" not in run.output()
    assert not (tmp_path / "store").exists()


def test_a_port_in_use_is_refused_before_any_work(job, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = job("pipeline", "demo", f"output.path={tmp_path / 'run'}", f"http.port={port}")
        assert run.wait() == 2
    assert f"error: http.port: cannot listen on 127.0.0.1:{port}" in run.output()
    assert not (tmp_path / "run").exists()


def test_the_command_line_explains_itself(command):
    run = command(sys.executable, "-m", "ray_jobs.train_encoder", "--help")
    assert run.wait() == 0
    assert "Train an encoder on training records with Ray Train" in run.output()
