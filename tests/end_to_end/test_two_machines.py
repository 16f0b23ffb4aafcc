"""The whole road, submitted from outside to a cluster of two machines and a head that does no work."""

import json

import pytest

from tests.end_to_end.machines import machines
from tests.end_to_end.small_road import STEPS, finished, small_road


@pytest.mark.timeout(900)
def test_the_road_runs_on_two_machines(command, tiny_encoder, tmp_path):
    folder = tmp_path / "run"
    # A training worker is so large that each takes a machine of its own.
    own = [f"base={tiny_encoder}", "workers={number: 2, cpus: 2.5}", f"output.path={folder}"]
    with machines(command) as two:
        run = two.start(workers=2).submit("pipeline", "demo", *small_road(folder), *own)
        assert run.wait() == 0, run.output()
    assert finished(run.output()) == STEPS
    assert "trained encoder" in run.output()
    assert '/v1/search {"query": "chest pain"' in run.output()
    assert "1. S" in run.output()
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert [each.partition(":")[0] for each in metrics["retrievers"]] == ["bm25", "dense", "dense", "hybrid"]
    assert all(0 < each["multi_patient"]["mrr"] <= 1 for each in metrics["retrievers"].values())
    assert all("unseen" in each["multi_patient"]["by_match_type"] for each in metrics["retrievers"].values())
    assert (folder / "evaluation" / "report.html").exists()
