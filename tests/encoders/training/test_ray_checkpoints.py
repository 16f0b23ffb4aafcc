"""What a full disk or a kill leaves of Ray Train's checkpoints, with snapshots in Ray's own form."""

import json

import pytest
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import _CheckpointManagerState

from encoders.training.ray_checkpoints import RayCheckpoints

SNAPSHOT = "checkpoint_manager_snapshot.json"


def snapshot(*names):
    results = [{"checkpoint_dir_name": name, "metrics": {"step": 1}} for name in names]
    state = _CheckpointManagerState(
        checkpoint_results=results,
        checkpoint_report_indices=list(range(len(names))),
        latest_checkpoint_result=results[-1],
        pending_training_results=[],
        pending_validation_specs=[],
        current_report_index=len(names),
        validated_checkpoint_dir_names=[],
        timed_out_validation_checkpoint_dir_names=[],
        failed_validation_checkpoint_dir_names=[],
    )
    return json.dumps(json.loads(state.json()))


@pytest.fixture
def run(tmp_path):
    for name in ("checkpoint_1", "checkpoint_2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").touch()
    return tmp_path


def folders(run):
    return {each.name for each in run.iterdir() if each.is_dir()}


def test_a_folder_that_no_snapshot_names_is_no_checkpoint_and_goes(run):
    (run / SNAPSHOT).write_text(snapshot("checkpoint_1"))
    checkpoints = RayCheckpoints(run)
    assert checkpoints.whole() == {"checkpoint_1"}
    checkpoints.mend()
    assert folders(run) == {"checkpoint_1"}


def test_the_latest_counts_beside_the_best(run):
    state = json.loads(snapshot("checkpoint_1"))
    state["latest_checkpoint_result"]["checkpoint_dir_name"] = "checkpoint_2"
    (run / SNAPSHOT).write_text(json.dumps(state))
    assert RayCheckpoints(run).whole() == {"checkpoint_1", "checkpoint_2"}


@pytest.mark.parametrize("left", ["", '{"ray_version": "2.60.0", "checkpoint_results": [{"check'])
def test_a_snapshot_that_broke_off_is_put_back_as_it_was_before(run, left):
    (run / SNAPSHOT).write_text(snapshot("checkpoint_1", "checkpoint_2"))
    checkpoints = RayCheckpoints(run)
    checkpoints.keep_snapshot()
    (run / SNAPSHOT).write_text(left)
    assert checkpoints.whole() == set()
    checkpoints.mend()
    assert checkpoints.whole() == folders(run) == {"checkpoint_1", "checkpoint_2"}


def test_a_broken_snapshot_is_never_kept(run):
    (run / SNAPSHOT).write_text(snapshot("checkpoint_1"))
    checkpoints = RayCheckpoints(run)
    checkpoints.keep_snapshot()
    (run / SNAPSHOT).write_text("{")
    checkpoints.keep_snapshot()
    checkpoints.mend()
    assert checkpoints.whole() == {"checkpoint_1"}


def test_a_first_checkpoint_that_broke_off_leaves_nothing(run):
    (run / SNAPSHOT).write_text("")
    checkpoints = RayCheckpoints(run)
    checkpoints.mend()
    assert folders(run) == set()
    assert not (run / SNAPSHOT).exists()


def test_a_run_that_has_not_begun(tmp_path):
    checkpoints = RayCheckpoints(tmp_path / "none")
    checkpoints.keep_snapshot()
    checkpoints.mend()
    assert checkpoints.whole() == set()
