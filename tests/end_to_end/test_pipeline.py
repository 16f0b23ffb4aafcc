"""The whole road on a very small hospital: killed in the middle, resumed, run again with a changed setting."""

import json
import os
import re

import pytest

from tests.end_to_end.conftest import ROOT, free_port

STEPS = [
    "generate_hospital",
    "prepare_corpus",
    "build_graph",
    "match_entities",
    "generate_entities",
    "train_encoder",
    "build_index",
    "evaluate",
]


def finished(output):
    """Steps that ran to their end in this output, once each."""
    return list(dict.fromkeys(re.findall(r"^(\w+): .*written to", output, re.MULTILINE)))


def skipped(output):
    return list(dict.fromkeys(re.findall(r"^(\w+): already done", output, re.MULTILINE)))


def small_road(folder):
    """Settings of a run that ends within minutes."""
    return (
        "hospital.patients=12",
        "hospital.benchmark_patients=5",
        "stage1.max_steps=2",
        "stage1.batch_size=8",
        "stage2.max_steps=1",
        "stage2.batch_size=8",
        "workers.number=1",
        "examples.queries=[chest pain]",
        f"http.port={free_port()}",
        f"output.path={os.path.relpath(folder, ROOT)}",  # as a user writes it; workers run in other folders
    )


@pytest.mark.timeout(900)
def test_the_road_ends_with_a_measured_encoder_and_an_answer(job, tmp_path):
    folder = tmp_path / "run"
    run = job("pipeline", "demo", *small_road(folder))
    assert run.wait() == 0, run.output()
    output = run.output()
    assert finished(output) == STEPS
    assert "BM25" in output
    assert "trained encoder" in output
    assert '/v1/search {"query": "chest pain"' in output
    assert "1. S" in output
    assert f"Written to {folder}" in output

    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    bm25, base, trained, hybrid = metrics["retrievers"].values()
    assert set(metrics["retrievers"]) == {
        "bm25",
        "dense:bundled",
        f"dense:{folder}/encoder",
        f"hybrid:{folder}/encoder",
    }
    assert trained["multi_patient"] != base["multi_patient"]
    for measured in (bm25, base, trained, hybrid):
        assert 0 < measured["multi_patient"]["mrr"] <= 1
        assert "unseen" in measured["multi_patient"]["by_match_type"]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_killed_road_goes_on_and_a_change_reruns_what_it_reaches(job, tmp_path):
    folder = tmp_path / "run"
    small = small_road(folder)
    killed = job("pipeline", "demo", *small)
    killed.wait_for("train_encoder: started")
    killed.kill()
    assert finished(killed.output()) == STEPS[:5]
    assert not (folder / "stage1_encoder").exists()

    resumed = job("pipeline", "demo", *small)
    assert resumed.wait() == 0, resumed.output()
    assert skipped(resumed.output()) == STEPS[:5]
    assert finished(resumed.output()) == STEPS[5:]

    changed = job("pipeline", "demo", *small, "index.shards=3")
    assert changed.wait() == 0, changed.output()
    assert finished(changed.output()) == ["build_index"]
    assert (folder / "release" / "shard-2").is_dir()
    assert sorted(path.name for path in folder.iterdir() if "." in path.name) == []
