"""Ray Train itself: two workers, checkpoints, a killed run that goes on."""

import torch

from encoders.distributed import RUN_NAME, train_on_ray
from encoders.encoder import Encoder
from encoders.training import TrainingSettings, train
from encoders.training_data import TrainingData
from encoders.workers import WorkerSettings

SETTINGS = TrainingSettings(epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, learning_rate=1e-3)


def test_two_ray_workers_train_as_one_process_does_and_go_on_from_their_checkpoint(
    local_ray, tiny_encoder, training_folder, tmp_path
):
    data = (str(tiny_encoder), training_folder)
    first_epoch = SETTINGS.model_copy(update={"max_steps": 4})
    train_on_ray(*data, first_epoch, WorkerSettings(), tmp_path / "storage")
    resumed, metrics = train_on_ray(*data, SETTINGS, WorkerSettings(), tmp_path / "storage")
    assert metrics["step"] == metrics["steps"] == 8
    checkpoints = [path for path in (tmp_path / "storage" / RUN_NAME).glob("checkpoint_*") if path.is_dir()]
    assert len(checkpoints) == 2

    alone = Encoder.load(str(tiny_encoder))
    arguments = (lambda metrics: None, lambda metrics, checkpoint: None, tmp_path / "scratch")
    train(alone, TrainingData(training_folder), first_epoch, *arguments)
    train(alone, TrainingData(training_folder), SETTINGS, *arguments, resume=tmp_path / "scratch")
    for ours, theirs in zip(resumed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
