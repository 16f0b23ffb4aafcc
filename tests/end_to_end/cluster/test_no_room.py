"""A job that can never be placed says so."""

import pytest

pytestmark = pytest.mark.cluster


def test_what_can_never_be_placed_is_said_within_a_minute(cluster_of, tmp_path):
    two = cluster_of(workers=2)
    (tmp_path / "records").mkdir()
    workers = "workers={number: 3, cpus: 3, use_gpu: true, accelerator_type: H100, memory_gb: 64}"
    paths = [f"records.path={tmp_path / 'records'}", f"output.path={tmp_path / 'encoder'}"]
    run = two.submit("train_encoder", "train_encoder", *paths, workers)
    assert run.wait(120) != 0
    assert "training (workers) can never start: it asks for 3 x (3 CPU, 1 GPU, 64.0 GB memory, H100)" in run.output()
    assert "the cluster has 1 x (" in run.output()
    assert "x (4 CPU, " in run.output()
