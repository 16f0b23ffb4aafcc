"""The training loop on Ray Train workers, with checkpoints that a later run goes on from."""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import ray.train
from ray.train import Checkpoint
from ray.train.torch import TorchTrainer, get_device
from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from tensorboardX import SummaryWriter

from encoders.encoder import Encoder
from encoders.training.checkpoints import trained
from encoders.training.data import TrainingData
from encoders.training.hard_negatives import Source
from encoders.training.loop import Hooks, Metrics, train
from encoders.training.metrics import TrainingMetrics
from encoders.training.ray_checkpoints import RayCheckpoints
from encoders.training.refused import RefusedError
from encoders.training.settings import TrainingSettings
from encoders.training.step import Teacher
from encoders.training.workers import Workers
from encoders.workers import WorkerSettings

RUN_NAME = "ray_train"
ERROR_FILE = "error.txt"
TENSORBOARD = "tensorboard"
REACHED_FILE = "reached.txt"
"""The last step that was done, whether a checkpoint has it or not."""
PROGRESS_LINES = 20
WAIT_FOR_MACHINES_S = 30 * 86_400
MAX_FAILURES = 3
"""Without a checkpoint between them."""


class Inputs(NamedTuple):
    """What a run reads; paths are such that every node finds them."""

    base: str
    data: Path
    sources: Sequence[Source] = ()
    """Of hard negatives that do not change while training."""
    teacher: Path | None = None
    """A folder with chunks.npy and terms.npy, float (n, d)."""
    score: Callable[[Encoder], Metrics] | None = None
    """See `Hooks.score`."""


def train_on_ray(
    inputs: Inputs, settings: TrainingSettings, workers: WorkerSettings, storage: Path
) -> tuple[Encoder, Metrics]:
    """Train; the encoder to export and the metrics of its checkpoint, which is the best where there is a score.

    Checkpoints lie under `storage`, TensorBoard's files in `storage/tensorboard`. A run that finds some there goes on
    from the last: keep one storage folder for one set of inputs and settings. Raises ValueError where input or
    settings do not fit, and where training diverges.
    """
    # Ray passes these on to its workers: progress lines are printed once, not printed and logged.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PRINT_PATCH", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING", "0")
    if not workers.min_number:
        # Machines that an autoscaler starts, or that others hold, are waited for: four minutes would be Ray's patience.
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(WAIT_FOR_MACHINES_S))
    # Ray's own annotations name an older class of the same name here.
    run_config: Any = RunConfig(
        name=RUN_NAME,
        storage_path=str(storage.resolve()),
        checkpoint_config=CheckpointConfig(num_to_keep=2, checkpoint_score_attribute="dev" if inputs.score else None),
        failure_config=FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=MAX_FAILURES),
        logging_config=LoggingConfig(log_level="WARNING"),
    )
    trainer = partial(
        TorchTrainer,
        _worker_loop,
        train_loop_config={"inputs": inputs, "settings": settings, "storage": storage.resolve()},
        scaling_config=ScalingConfig(
            num_workers=(workers.min_number, workers.number) if workers.min_number else workers.number,
            use_gpu=workers.use_gpu,
            resources_per_worker=workers.resources(),
        ),
        run_config=run_config,
    )
    result = _fit(trainer, storage / RUN_NAME)
    if (storage / ERROR_FILE).exists():
        raise ValueError((storage / ERROR_FILE).read_text())
    kept = result.best_checkpoints
    if not kept:
        raise RuntimeError(f"training ended without a checkpoint in {storage}")
    checkpoint, metrics = max(kept, key=lambda each: each[1]["dev" if inputs.score else "step"])
    with checkpoint.as_directory() as folder:
        return trained(inputs.base, Path(folder), settings), metrics


def _fit(trainer: Callable[[], TorchTrainer], run: Path) -> ray.train.Result:
    """Train to the end, however often workers fail, as long as there is a new checkpoint between MAX_FAILURES."""
    checkpoints = RayCheckpoints(run)
    while True:
        checkpoints.mend()
        known = checkpoints.whole()
        try:
            return trainer().fit()
        except ray.train.TrainingFailedError as error:
            if checkpoints.whole() <= known:
                raise ValueError(
                    f"training stopped, {MAX_FAILURES + 1} failures without a checkpoint between them, the last: "
                    f"{_reason(error)}; mend that and run the same command again: it goes on from its last checkpoint"
                ) from error
            print("training: workers failed again and again; it goes on from its last checkpoint", flush=True)


def _reason(error: ray.train.TrainingFailedError) -> str:
    """The last line of what a worker or the controller raised."""
    failures = [*getattr(error, "worker_failures", {}).values(), error]
    return str(failures[0]).strip().splitlines()[-1]


def _worker_loop(config: dict[str, Any]) -> None:
    inputs, settings, storage = config["inputs"], config["settings"], config["storage"]
    rank, world = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    last = ray.train.get_checkpoint()
    checkpoints = RayCheckpoints(storage / RUN_NAME)
    board: SummaryWriter | None = None
    exported = TrainingMetrics()
    if rank == 0:
        (storage / ERROR_FILE).unlink(missing_ok=True)  # of a group of workers before this one

    def progress(metrics: Metrics) -> None:
        nonlocal board
        if rank != 0:
            return
        exported.now(metrics)
        step = int(metrics["step"])
        if board is None:
            if last:
                print(_went_on(step, world, storage / REACHED_FILE), flush=True)
            # From this step on TensorBoard drops what earlier workers wrote: it was done again.
            board = SummaryWriter(str(storage / TENSORBOARD), purge_step=step)
        # Aside first: a kill in between must not leave an empty file to the run that goes on.
        aside = storage / f"{REACHED_FILE}.new"
        aside.write_text(str(step))
        aside.replace(storage / REACHED_FILE)
        for name in metrics.keys() - {"step", "steps", "eta_seconds"}:
            board.add_scalar(name, metrics[name], step)
        lines_apart = max(1, int(metrics["steps"]) // PROGRESS_LINES)
        if step % lines_apart == 0 or step == metrics["steps"] or "dev" in metrics:
            print(_line(metrics), flush=True)

    def report(metrics: Metrics, checkpoint: Path | None) -> None:
        if rank == 0:
            checkpoints.keep_snapshot()
        ray.train.report(metrics, Checkpoint.from_directory(checkpoint) if checkpoint else None)

    hooks = Hooks(
        report=report,
        progress=progress,
        score=inputs.score,
        is_preempted=lambda: ray.train.get_preemption_info() is not None,
        sources=inputs.sources,
        teacher=_teacher(inputs.teacher),
    )
    with tempfile.TemporaryDirectory() as scratch, last.as_directory() if last else nullcontext() as folder:
        resume = Path(folder) if folder else None
        try:
            encoder = _base(inputs.base, settings)
            train(encoder, TrainingData(inputs.data), settings, hooks, Path(scratch) / "checkpoint", resume)
        except RefusedError as error:  # every rank ends alike; raised here, it would be tried again
            (storage / ERROR_FILE).write_text(str(error))
    if board:
        board.close()


def _base(name: str, settings: TrainingSettings) -> Encoder:
    """The encoder that training starts from. Raises RefusedError on every rank where one of them cannot load it."""
    encoder, refused = None, ""
    try:
        encoder = Encoder.load(name, as_stored=settings.freezes_bf16).to(get_device())
    except ValueError as error:
        refused = str(error)
    refusals = sorted({each for each in Workers.here().all(refused) if each})
    if encoder is None or refusals:
        raise RefusedError("; ".join(refusals))
    return encoder


def _line(metrics: Metrics) -> str:
    dev = f", dev {metrics['dev']:.4f}" if "dev" in metrics else ""
    return (
        f"step {metrics['step']}/{metrics['steps']}, loss {metrics['loss']:.4f}{dev}, "
        f"{metrics['chunks_per_second']:.1f} chunks/s, ETA {metrics['eta_seconds']:.0f} s"
    )


def _went_on(step: int, workers: int, reached: Path) -> str:
    """What the first step after a checkpoint says of the way there."""
    again = int(reached.read_text()) - step + 1 if reached.exists() else 0
    of = "worker" if workers == 1 else "workers"
    return f"training went on from step {step - 1} with {workers} {of}: {max(again, 0)} steps are done again"


def _teacher(folder: Path | None) -> Teacher | None:
    if folder is None:
        return None
    return Teacher(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Teacher._fields))
