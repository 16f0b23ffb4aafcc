"""Ray Train itself: two workers, checkpoints, runs that go on or may not."""

import os
import resource
import signal
import time
from functools import partial

import pytest
import torch

from encoders.encoder import Encoder
from encoders.training.checkpoints import trained
from encoders.training.data import TrainingData
from encoders.training.loop import Hooks, TrainingDivergedError, train
from encoders.training.on_ray import RUN_NAME, TENSORBOARD, Inputs, train_on_ray
from encoders.training.settings import DevSettings, TrainingSettings
from encoders.workers import WorkerSettings

SETTINGS = TrainingSettings(epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, learning_rate=1e-3)


def test_two_ray_workers_train_as_one_process_does_and_go_on_from_their_last_checkpoint(
    local_ray, tiny_encoder, training_folder, tmp_path
):
    inputs = Inputs(str(tiny_encoder), training_folder)
    first_epoch, scores = SETTINGS.model_copy(update={"max_steps": 4, "dev": DevSettings(every_steps=2)}), [0.9, 0.5]
    scored = inputs._replace(score=lambda encoder: {"dev": scores.pop(0)})
    _, best = train_on_ray(scored, first_epoch, WorkerSettings(), tmp_path / "storage")
    assert (best["step"], best["dev"]) == (2, 0.9), "the best checkpoint is exported"
    resumed, metrics = train_on_ray(inputs, SETTINGS, WorkerSettings(), tmp_path / "storage")
    assert metrics["step"] == metrics["steps"] == 8
    checkpoints = [path for path in (tmp_path / "storage" / RUN_NAME).glob("checkpoint_*") if path.is_dir()]
    assert len(checkpoints) == 2
    assert list((tmp_path / "storage" / TENSORBOARD).iterdir())

    kept = []
    hooks = Hooks(report=lambda metrics, folder: kept.append(folder.rename(tmp_path / f"at{metrics['step']}")))
    data = TrainingData(training_folder)
    train(Encoder.load(str(tiny_encoder)), data, first_epoch, hooks, tmp_path / "scratch")
    train(Encoder.load(str(tiny_encoder)), data, SETTINGS, hooks, tmp_path / "scratch", resume=kept[-1])
    alone = trained(str(tiny_encoder), kept[-1], SETTINGS)
    for ours, theirs in zip(resumed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_diverged_run_ends_without_being_tried_again(local_ray, tiny_encoder, training_folder, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30})
    inputs = Inputs(str(tiny_encoder), training_folder)
    with pytest.raises(TrainingDivergedError, match=r"training diverged in step \d: loss nan.*n\d\d_0"):
        train_on_ray(inputs, settings, WorkerSettings(number=1), tmp_path / "storage")


HARMS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    # From here on no file of the process can grow beyond a kilobyte.
    "out of disk": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
}


@pytest.mark.long
@pytest.mark.parametrize(("number", "harm"), [(1, "killed"), (2, "killed"), (1, "out of disk")])
def test_a_harmed_worker_is_replaced_and_the_run_ends_as_if_nothing_had_been(
    local_ray, tiny_encoder, training_folder, tmp_path, number, harm
):
    settings, workers = SETTINGS.model_copy(update={"dev": DevSettings(every_steps=1)}), WorkerSettings(number=number)
    asked, do_harm = tmp_path / "asked", HARMS[harm]

    def score(encoder, is_harmed):
        with asked.open("a") as file:
            file.write("x")
        times = len(asked.read_text())
        if is_harmed and times == 3 * number:
            known = tmp_path / "storage-True" / RUN_NAME / "checkpoint_manager_snapshot.json"
            while not known.exists() or "checkpoint_" not in known.read_text():
                time.sleep(0.1)
            do_harm()
        return {"dev": float(times)}

    ends = []
    for is_harmed in (True, False):
        asked.write_text("")
        inputs = Inputs(str(tiny_encoder), training_folder, score=partial(score, is_harmed=is_harmed))
        encoder, metrics = train_on_ray(inputs, settings, workers, tmp_path / f"storage-{is_harmed}")
        assert metrics["step"] == 8
        scored = len(asked.read_text())
        # Some steps are done again, but not all: an earlier checkpoint was whole.
        assert 8 * number < scored < 11 * number if is_harmed else scored == 8 * number
        ends.append(encoder)
    for harmed, whole in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        if number == 1:
            assert torch.equal(harmed, whole)
        torch.testing.assert_close(harmed, whole, rtol=1e-3, atol=1e-4)
