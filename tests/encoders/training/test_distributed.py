"""Ray Train itself: two workers, checkpoints, runs that go on or may not."""

import json
import shutil
import threading

import pytest
import ray
import torch

from encoders.encoder import Encoder
from encoders.training import on_ray
from encoders.training.checkpoints import trained
from encoders.training.data import TrainingData
from encoders.training.loop import Hooks, train
from encoders.training.on_ray import RUN_NAME, TENSORBOARD, Inputs, train_on_ray
from encoders.training.settings import DevSettings, LoraSettings, TrainingSettings
from encoders.workers import WorkerSettings
from tests.encoders.training.event_files import dropped_from, event_files, read_events

SETTINGS = TrainingSettings(epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, learning_rate=1e-3)


def test_two_ray_workers_train_as_one_process_does_and_go_on_from_their_last_checkpoint(
    local_ray, tiny_encoder, training_folder, tmp_path
):
    inputs = Inputs(str(tiny_encoder), training_folder)
    first_epoch, scores = SETTINGS.model_copy(update={"max_steps": 4, "dev": DevSettings(every_steps=2)}), [0.9, 0.5]
    scored = inputs._replace(score=lambda encoder: {"dev": scores.pop(0)})
    exported, best = train_on_ray(scored, first_epoch, WorkerSettings(), tmp_path / "storage")
    assert (best["step"], best["dev"]) == (2, 0.9), "the best checkpoint is exported"
    resumed, metrics = train_on_ray(inputs, SETTINGS, WorkerSettings(), tmp_path / "storage")
    assert metrics["step"] == metrics["steps"] == 8
    checkpoints = [path for path in (tmp_path / "storage" / RUN_NAME).glob("checkpoint_*") if path.is_dir()]
    assert len(checkpoints) == 2

    kept, told = {}, []
    hooks = Hooks(
        report=lambda metrics, folder: kept.update({metrics["step"]: folder.rename(tmp_path / f"at{metrics['step']}")}),
        progress=told.append,
    )
    data, often = TrainingData(training_folder), {"checkpoint_steps": 2}
    train(Encoder.load(str(tiny_encoder)), data, first_epoch.model_copy(update=often), hooks, tmp_path / "scratch")
    train(Encoder.load(str(tiny_encoder)), data, SETTINGS, hooks, tmp_path / "scratch", resume=kept[4])
    alone = {step: trained(str(tiny_encoder), folder, SETTINGS) for step, folder in kept.items()}
    assert are_close(resumed, alone[8])
    assert are_close(exported, alone[2])
    assert not are_close(exported, alone[4])
    assert_drawn(tmp_path / "storage" / TENSORBOARD, told)


def are_close(ours, theirs):
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return all(torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in pairs)


def assert_drawn(folder, told):
    """TensorBoard has a curve of each figure over all steps; one process was told the same."""
    files = event_files(folder)
    before, after = map(read_events, files)
    assert [dropped_from(file) for file in files] == [1, 5]
    figures = {"loss", "learning_rate", "gradient_norm", "chunks_per_second"}
    assert before.keys() == figures | {"dev"}
    assert before.pop("dev") == [(2, pytest.approx(0.9)), (4, pytest.approx(0.5))]
    assert after.keys() == figures
    for name in figures:
        curve = before[name] + after[name]
        assert [step for step, _ in curve] == list(range(1, 9))
        assert all(value > 0 for _, value in curve)
        if name != "chunks_per_second":
            assert [value for _, value in curve] == pytest.approx([metrics[name] for metrics in told], rel=1e-3)


@pytest.mark.long
def test_a_run_goes_on_however_often_workers_fail_while_there_are_new_checkpoints(
    local_ray, tiny_encoder, training_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(on_ray, "MAX_FAILURES", 0)
    settings = SETTINGS.model_copy(update={"max_steps": 3, "checkpoint_steps": 1, "dev": DevSettings(every_steps=1)})

    def fail_once_a_step(encoder):
        tried = tmp_path / "tried"
        times = len(tried.read_text()) if tried.exists() else 0
        tried.write_text("x" * (times + 1))
        if times in (1, 3):
            raise RuntimeError("the machine is gone")
        return {"dev": times}

    inputs = Inputs(str(tiny_encoder), training_folder, score=fail_once_a_step)
    _, metrics = train_on_ray(inputs, settings, WorkerSettings(number=1), tmp_path / "storage")
    assert (metrics["step"], metrics["dev"]) == (3, 4)

    def fail(encoder):
        raise RuntimeError("the machine is gone")

    never = Inputs(str(tiny_encoder), training_folder, score=fail)
    with pytest.raises(ValueError, match=r"training stopped, 1 failures without a checkpoint .*the machine is gone"):
        train_on_ray(never, settings, WorkerSettings(number=1), tmp_path / "other")


@pytest.mark.long
def test_training_waits_for_machines_that_are_not_there_yet(
    local_ray, tiny_encoder, training_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(on_ray, "MAX_FAILURES", 0)
    held = ray.util.placement_group([{"CPU": 8}])
    ray.get(held.ready())
    longer_than_ray_waits_by_itself = threading.Timer(75, ray.util.remove_placement_group, [held])
    longer_than_ray_waits_by_itself.start()
    settings = SETTINGS.model_copy(update={"max_steps": 1})
    inputs = Inputs(str(tiny_encoder), training_folder)
    _, metrics = train_on_ray(inputs, settings, WorkerSettings(number=1), tmp_path / "storage")
    assert metrics["step"] == 1


def test_a_diverged_run_ends_without_being_tried_again(local_ray, tiny_encoder, training_folder, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30})
    inputs = Inputs(str(tiny_encoder), training_folder)
    with pytest.raises(ValueError, match=r"training diverged in step \d: loss nan.*n\d\d_0"):
        train_on_ray(inputs, settings, WorkerSettings(number=1), tmp_path / "storage")


@pytest.mark.long  # the test of a diverged run goes the same way
def test_a_setting_that_does_not_fit_the_encoder_ends_the_run_without_being_tried_again(
    local_ray, tiny_encoder, training_folder, tmp_path
):
    settings = SETTINGS.model_copy(update={"tuning": "lora", "lora": LoraSettings(targets=["q_prj"])})
    with pytest.raises(ValueError, match=r"training\.lora\.targets: no layer is called q_prj; there are .*query"):
        train_on_ray(Inputs(str(tiny_encoder), training_folder), settings, WorkerSettings(number=1), tmp_path / "a")


@pytest.mark.long
def test_a_base_that_one_of_the_workers_cannot_load_ends_the_run_without_being_tried_again(
    local_ray, tiny_encoder, training_folder, tmp_path
):
    base = tmp_path / "base"
    shutil.copytree(tiny_encoder, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "model_type": "martian"}))
    with pytest.raises(ValueError, match="martian"):
        train_on_ray(Inputs(str(base), training_folder), SETTINGS, WorkerSettings(number=1), tmp_path / "storage")
