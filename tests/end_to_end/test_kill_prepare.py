"""Preparing a corpus, killed while reading and while committing: run again, it ends as if never interrupted."""

import json
import time

import pytest

from corpus.errors import read_errors
from corpus.store import Store

FILES, NOTES = 8, 3000


def write_notes(folder):
    """Note files with bad rows and an id that repeats in each of them."""
    folder.mkdir()
    for file in range(FILES):
        rows = [
            {"note_id": f"{file}-{i}", "patient_id": str(i % 100), "text": f"Note {i} of [**file**] {file}.\n" * 60}
            for i in range(NOTES)
        ]
        rows[17] = {"note_id": "without text", "patient_id": "1"}
        rows[23]["note_id"] = "repeated"
        lines = [json.dumps(row) for row in rows]
        lines[42] = "{broken"
        (folder / f"{file}.jsonl").write_text("\n".join(lines) + "\n")


def contents(folder):
    """Notes and chunks by their ids, and the error table."""
    store = Store(folder)
    notes = store.notes().to_table().sort_by("note_id")
    return notes, store.chunks().to_table().sort_by("chunk_id"), list(read_errors(folder))


def kill_when_there(command, path):
    while not path.exists():
        assert command.process.poll() is None, command.output()
        time.sleep(0.02)
    command.kill()


@pytest.mark.long
def test_a_killed_run_ends_like_an_uninterrupted_one(job, tmp_path):
    write_notes(tmp_path / "notes")

    def prepare(name):
        return job(
            "prepare_corpus", "prepare_corpus", f"notes.path={tmp_path / 'notes'}", f"store.path={tmp_path / name}"
        )

    whole = prepare("whole")
    assert whole.wait() == 0, whole.output()
    for written in ("staging.parquet", "chunks.lance"):
        kill_when_there(prepare("killed"), tmp_path / "killed.unfinished" / written)
        assert not (tmp_path / "killed").exists()
    resumed = prepare("killed")
    assert resumed.wait() == 0, resumed.output()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    notes, _, errors = contents(tmp_path / "killed")
    assert (len(notes), len(errors)) == (FILES * (NOTES - 3) + 1, FILES * 3 - 1)
