import json
import os

import numpy as np
import pytest

from corpus.store import Store
from corpus.writing import Changes, StoreWriter
from ray_jobs.steps import absolute, input_fingerprint, package_data, read_manifest, run_step
from serving.release import searchable_chunks
from serving.upkeep import tidy
from tests.serving.tiny_store import make_notes, write_store


class Work:
    """A step's work that counts how often it ran and writes one file."""

    def __init__(self, text="made"):
        self.text = text
        self.ran = 0
        self.scratch_found = []

    def __call__(self, step):
        self.ran += 1
        self.scratch_found = sorted(path.name for path in step.scratch.iterdir())
        (step.folder / "file").write_text(self.text)
        return {"rows": 3}


def test_a_finished_step_is_skipped(tmp_path, capsys):
    work = Work()
    for _ in range(2):
        assert run_step("make", tmp_path / "out", {"size": 1}, {}, work) == {"rows": 3}
    assert work.ran == 1
    assert "make: 3 rows in" in capsys.readouterr().out


def test_the_manifest_is_in_the_finished_folder_and_nothing_else_is_left(tmp_path):
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work())
    assert read_manifest(tmp_path / "out")["result"] == {"rows": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_changed_setting_reruns_the_step(tmp_path):
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work("old"))
    run_step("make", tmp_path / "out", {"size": 2}, {}, Work("new"))
    assert (tmp_path / "out" / "file").read_text() == "new"


def test_a_changed_setting_reaches_the_steps_that_read_its_result_and_no_other(tmp_path):
    def run(size):
        first, second, other = Work(), Work(), Work()
        run_step("first", tmp_path / "first", {"size": size}, {}, first)
        run_step("second", tmp_path / "second", {}, {"first": tmp_path / "first"}, second)
        run_step("other", tmp_path / "other", {}, {}, other)
        return first.ran, second.ran, other.ran

    assert run(1) == (1, 1, 1)
    assert run(2) == (1, 1, 0)
    assert run(2) == (0, 0, 0)


def test_a_changed_input_file_reruns_the_step(tmp_path):
    source = tmp_path / "in"
    source.write_text("a")
    work = Work()
    run_step("make", tmp_path / "out", {}, {"in": source}, work)
    source.write_text("ab")
    run_step("make", tmp_path / "out", {}, {"in": source}, work)
    assert work.ran == 2


def test_a_failed_step_leaves_the_earlier_result_whole(tmp_path):
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work("old"))

    def fail(step):
        (step.folder / "file").write_text("half")
        raise ValueError("bad input")

    with pytest.raises(ValueError, match="bad input"):
        run_step("make", tmp_path / "out", {"size": 2}, {}, fail)
    assert (tmp_path / "out" / "file").read_text() == "old"
    assert read_manifest(tmp_path / "out.unfinished") is None


def interrupt(step):
    (step.scratch / "checkpoint").write_text("half way")
    raise KeyboardInterrupt


def test_an_interrupted_step_finds_its_scratch_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_step("make", tmp_path / "out", {"size": 1}, {}, interrupt)
    work = Work()
    run_step("make", tmp_path / "out", {"size": 1}, {}, work)
    assert work.scratch_found == ["checkpoint"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_changed_setting_never_takes_up_another_run_s_scratch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_step("make", tmp_path / "out", {"size": 1}, {}, interrupt)
    work = Work()
    run_step("make", tmp_path / "out", {"size": 2}, {}, work)
    assert work.scratch_found == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_mistyped_setting_that_is_interrupted_costs_the_other_run_nothing(tmp_path):
    for size in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            run_step("make", tmp_path / "out", {"size": size}, {}, interrupt)
    work = Work()
    run_step("make", tmp_path / "out", {"size": 1}, {}, work)
    assert work.scratch_found == ["checkpoint"]


def test_a_result_that_was_finished_but_not_yet_renamed_is_taken_up(tmp_path):
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work())
    (tmp_path / "out").rename(tmp_path / "out.unfinished")
    work = Work()
    assert run_step("make", tmp_path / "out", {"size": 1}, {}, work) == {"rows": 3}
    assert work.ran == 0
    assert (tmp_path / "out" / "file").read_text() == "made"


def test_scratch_left_beside_a_finished_step_is_removed(tmp_path):
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work())
    fingerprint = read_manifest(tmp_path / "out")["fingerprint"]
    (tmp_path / f"out.scratch-{fingerprint}").mkdir()
    run_step("make", tmp_path / "out", {"size": 1}, {}, Work())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_input_folder_with_another_manifest_counts_by_its_files(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    before = input_fingerprint(tmp_path)
    (tmp_path / "more").write_text("a")
    assert input_fingerprint(tmp_path) != before


def test_a_store_counts_as_another_input_once_notes_have_changed_in_service(tmp_path):
    store = Store(tmp_path)
    write_store(tmp_path, make_notes(3), "encoder", lambda texts: np.ones((len(texts), 8)))
    (tmp_path / "manifest.json").write_text(json.dumps({"fingerprint": "abc", "result": {}}))
    searchable_chunks(store)
    before = input_fingerprint(tmp_path)
    writer = StoreWriter(store, {})
    tidy(store)
    assert input_fingerprint(tmp_path) == before
    writer.write(Changes(remove_patients=["patient-01"]))
    removed = input_fingerprint(tmp_path)
    tidy(store)
    assert input_fingerprint(tmp_path) == removed != before
    writer.write(Changes([{**make_notes(3)[0], "version": 2}]))
    assert input_fingerprint(tmp_path) not in (before, removed)


def test_packaged_facts_and_rules_count_as_inputs():
    assert package_data("datagen") != package_data("datagen.hospital")


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: not there; run the job that writes it first"):
        input_fingerprint(tmp_path / "nowhere")


def test_a_relative_output_is_refused_where_it_would_be_lost(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({}))
    with pytest.raises(ValueError, match="name an absolute output path that every node shares"):
        absolute(tmp_path.relative_to("/"))
    assert absolute(tmp_path) == tmp_path
