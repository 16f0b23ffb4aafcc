"""The whole road on two machines ends with the figures of one."""

import json

import pytest

from tests.end_to_end.small_road import STEPS, finished, small_road

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

TOLERANCE = 0.02
"""Gradients that are summed in another order move a rank here and there."""


def test_two_machines_end_with_the_same_figures_as_one(cluster_of, road, tmp_path):
    two = cluster_of(workers=2)
    folder = tmp_path / "run"
    # A training worker is so large that each takes a machine of its own.
    run = two.submit("pipeline", "demo", *small_road(folder), "workers={number: 2, cpus: 2.5}", f"output.path={folder}")
    assert run.wait() == 0, run.output()
    assert finished(run.output()) == STEPS
    ours, theirs = (list(figures(each)) for each in (folder, road[0]))
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert [value for _, value in ours] == pytest.approx([value for _, value in theirs], abs=TOLERANCE)


def figures(folder):
    """MRR of every retriever."""
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    for name, measured in metrics["retrievers"].items():
        yield name.rpartition("/")[2], measured["multi_patient"]["mrr"]
