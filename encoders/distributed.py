"""The training loop on Ray Train workers, data-parallel, with checkpoints that a later run goes on from."""

import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import ray.train
from ray.train import Checkpoint, ScalingConfig
from ray.train.torch import TorchTrainer, get_device
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig

from encoders.encoder import Encoder
from encoders.training import Metrics, TrainingSettings, load_weights, train
from encoders.training_data import TrainingData
from encoders.workers import WorkerSettings

RUN_NAME = "ray_train"
PROGRESS_LINES = 20


def train_on_ray(
    base: str, data: Path, settings: TrainingSettings, workers: WorkerSettings, storage: Path
) -> tuple[Encoder, dict[str, Any]]:
    """Train the encoder `base` on the tokenised `data`; the encoder to export, the last metrics.

    Checkpoints lie under `storage`. A run that finds some there goes on from the last: keep one storage folder for one
    base, data and settings.
    """
    # Ray passes these on to its workers: progress lines are printed once, not printed and logged.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING", "0")
    # Ray's own annotations name an older class of the same name here.
    run_config: Any = RunConfig(
        name=RUN_NAME,
        storage_path=str(storage.resolve()),
        checkpoint_config=CheckpointConfig(num_to_keep=2),
        failure_config=FailureConfig(max_failures=3),
        logging_config=LoggingConfig(log_level="WARNING"),
    )
    result = TorchTrainer(
        _worker_loop,
        train_loop_config={"base": base, "data": str(data), "settings": settings.model_dump()},
        scaling_config=ScalingConfig(
            num_workers=workers.number, use_gpu=workers.use_gpu, resources_per_worker=workers.resources()
        ),
        run_config=run_config,
    ).fit()
    if result.checkpoint is None:
        raise RuntimeError(f"training ended without a checkpoint in {storage}")
    encoder = Encoder.load(base)
    with result.checkpoint.as_directory() as folder:
        load_weights(Path(folder), encoder, settings.base_weight)
    return encoder, result.metrics or {}


def _worker_loop(config: dict[str, Any]) -> None:
    settings = TrainingSettings.model_validate(config["settings"])
    encoder = Encoder.load(config["base"]).to(get_device())
    rank = ray.train.get_context().get_world_rank()

    def progress(metrics: Metrics) -> None:
        lines_apart = max(1, int(metrics["steps"]) // PROGRESS_LINES)
        if rank == 0 and (metrics["step"] % lines_apart == 0 or metrics["step"] == metrics["steps"]):
            print(
                f"step {metrics['step']}/{metrics['steps']}, loss {metrics['loss']:.4f}, "
                f"{metrics['chunks_per_second']:.1f} chunks/s, ETA {metrics['eta_seconds']:.0f} s",
                flush=True,
            )

    def report(metrics: Metrics, checkpoint: Path | None) -> None:
        ray.train.report(metrics, Checkpoint.from_directory(checkpoint) if checkpoint else None)

    last = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory() as scratch, last.as_directory() if last else nullcontext() as folder:
        resume = Path(folder) if folder else None
        train(encoder, TrainingData(Path(config["data"])), settings, progress, report, Path(scratch), resume)
