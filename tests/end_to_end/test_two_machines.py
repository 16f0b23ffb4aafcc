"""The whole road, submitted from outside to a cluster of two machines and a head that does no work."""

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
    assert (folder / "evaluation" / "report.html").exists()
