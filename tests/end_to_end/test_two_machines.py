"""The whole road, submitted from outside to a cluster of two machines and a head that does no work."""

import pytest

from tests.end_to_end.machines import machines
from tests.end_to_end.running import started_commands
from tests.end_to_end.small_road import STEPS, finished, small_road


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with started_commands(tmp_path_factory.mktemp("two_machines")) as command, machines(command) as made:
        yield made.start(workers=2)


@pytest.mark.timeout(900)
def test_the_road_runs_on_two_machines(two, tiny_encoder, tmp_path):
    folder = tmp_path / "run"
    # A training worker is so large that each takes a machine of its own.
    own = [f"base={tiny_encoder}", "workers={number: 2, cpus: 2.5}", f"output.path={folder}"]
    run = two.submit("pipeline", "demo", *small_road(folder), *own)
    assert run.wait() == 0, run.output()
    assert finished(run.output()) == STEPS
    assert (folder / "evaluation" / "report.html").exists()


def test_what_can_never_be_placed_is_said_within_a_minute(two, tmp_path):
    (tmp_path / "records").mkdir()
    workers = "workers={number: 3, cpus: 3, use_gpu: true, accelerator_type: H100, memory_gb: 64}"
    paths = [f"records.path={tmp_path / 'records'}", f"output.path={tmp_path / 'encoder'}"]
    run = two.submit("train_encoder", "train_encoder", *paths, workers)
    assert run.wait(120) != 0
    assert "training (workers) can never start: it asks for 3 x (3 CPU, 1 GPU, 64.0 GB memory, H100)" in run.output()
    assert "the cluster has 1 x (" in run.output()
    assert "x (4 CPU, " in run.output()
