"""The storage that checkpoints are copied to runs full: a small file system of its own, which only root can mount."""

import subprocess
import sys

import pytest
import ray
import torch

from encoders.training.on_ray import RUN_NAME, Inputs, train_on_ray
from encoders.training.ray_checkpoints import RayCheckpoints
from encoders.training.settings import DevSettings, TrainingSettings
from encoders.workers import WorkerSettings

pytestmark = pytest.mark.long
# Ray's workers do not find the modules of tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

SETTINGS = TrainingSettings(
    epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, learning_rate=1e-3, dev=DevSettings(every_steps=1)
)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "drehr-test", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a file system of its own cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


class FullAt:
    """Scores that get better with each step; after the third, once, everything that is free is filled."""

    def __init__(self, disk):
        self._disk = disk

    def __call__(self, encoder):
        asked = self._disk / "asked"
        with asked.open("a") as file:
            file.write("x")
        times = asked.stat().st_size
        if times == 3:
            fill(self._disk / "filler")
        return {"dev": float(times)}


def fill(file):
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"0" * 4096)
        except OSError:
            return


def test_the_job_says_so_keeps_what_it_has_and_goes_on_when_there_is_room(
    local_ray, tiny_encoder, training_folder, tmp_path, small_disk
):
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "asked").touch()
    undisturbed, _ = train_on_ray(
        Inputs(str(tiny_encoder), training_folder), SETTINGS, WorkerSettings(number=1), tmp_path / "whole"
    )
    inputs = Inputs(str(tiny_encoder), training_folder, score=FullAt(small_disk))
    with pytest.raises(ValueError, match=r"No space left on device.*run the same command again"):
        train_on_ray(inputs, SETTINGS, WorkerSettings(number=1), small_disk)
    kept = RayCheckpoints(small_disk / RUN_NAME).whole()
    assert kept
    assert all((small_disk / RUN_NAME / name / "loop.json").exists() for name in kept)
    (small_disk / "filler").unlink()
    asked = (small_disk / "asked").stat().st_size
    encoder, metrics = train_on_ray(inputs, SETTINGS, WorkerSettings(number=1), small_disk)
    assert metrics["step"] == 8
    assert (small_disk / "asked").stat().st_size - asked <= 6  # steps 1 and 2 were not done again
    assert all(map(torch.equal, encoder.parameters(), undisturbed.parameters()))
