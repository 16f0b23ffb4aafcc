"""The whole road on a very small hospital and one machine: killed in the middle, resumed, with a changed setting.

In every test run it is on two machines (test_two_machines.py).
"""

import json

import pytest

from tests.end_to_end.small_road import STEPS, finished, skipped, small_road


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_road_ends_with_a_measured_encoder_and_an_answer(road):
    folder, output = road
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
