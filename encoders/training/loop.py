"""The training loop: one for every variant, plain PyTorch, on one process or many.

A step is a function of (weights, optimiser state, step number): batch, dropout and learning rate follow from the
seed and the number alone. That is what makes a resumed run end like an uninterrupted one.
"""

import math
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from encoders.encoder import Encoder
from encoders.training import checkpoints
from encoders.training.batches import Batch, all_steps, make_batch, steps_per_epoch, terms_of_steps
from encoders.training.data import TrainingData
from encoders.training.hard_negatives import HardNegatives, Source, by_encoder, mine, pool_of
from encoders.training.model import prepare, spread
from encoders.training.refused import RefusedError
from encoders.training.schedule import learning_rate_factor
from encoders.training.settings import TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.step import GradientStep, Teacher
from encoders.training.workers import Workers

Metrics = dict[str, float]
DIVERGED = 1000.0
"""A gradient so many times as long as the median of the last ones."""
REMEMBERED = 50
FEWEST = 5
"""Gradients before one is compared with them."""
NO_SCORE = -1.0
"""Of a checkpoint that came when none was measured: never the best."""


class TrainingDivergedError(RefusedError):
    """Loss or gradient is no number, or the gradient grew out of all proportion; trying again gives the same."""


@dataclass
class Hooks:
    """What the loop tells and asks."""

    report: Callable[[Metrics, Path | None], None]
    """Every rank calls it when a checkpoint is due, with the folder of its share."""
    progress: Callable[[Metrics], None] = lambda metrics: None
    score: Callable[[Encoder], Metrics] | None = None
    """Figures on a dev benchmark, `dev` among them: higher is better. Every rank calls it."""
    is_preempted: Callable[[], bool] = lambda: False
    """Whether the machine is about to be taken away; every rank gets the same answer."""
    sources: Sequence[Source] = ()
    """Of hard negatives that do not change while training."""
    teacher: Teacher | None = None


@dataclass
class _State:
    """What the loop knows beside weights and optimiser."""

    step: int = 0
    best: float = -math.inf
    without_better: int = 0
    mined_at: int = -1
    mined: Source | None = None
    norms: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        names = ("step", "best", "without_better", "mined_at", "norms")
        return {name: getattr(self, name) for name in names}


def train(
    encoder: Encoder,
    data: TrainingData,
    settings: TrainingSettings,
    hooks: Hooks,
    scratch: Path,
    resume: Path | None = None,
) -> None:
    """Train `encoder` in place, from the checkpoint folder `resume` on where one is given.

    In a torch.distributed process group every rank calls this, with a `scratch` folder of its own. Raises RefusedError
    where a batch cannot be filled or no layer adapted, TrainingDivergedError naming the chunks of the batch.
    """
    workers = Workers.here()
    epoch_steps = steps_per_epoch(len(data), settings.batch_size)
    steps = all_steps(data, settings)
    prepare(encoder, settings)
    model = spread(encoder, settings, workers)
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate)
    state = _State()
    if resume:
        known, mined = checkpoints.load(resume, encoder, optimizer)
        state = _State(**known, mined=mined)
        if _is_without_better(settings, state):
            return
    encoding = SharedEncoding(model, data, settings, workers)
    gradient = GradientStep(encoding, hooks.teacher)
    begun, first = time.monotonic(), state.step
    was_noticed = False
    for step in range(first, steps):
        hard = _hard_negatives(encoding, data, steps, hooks, state)
        batch = make_batch(data, step, settings, hard)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, steps, settings.warmup)
        loss = gradient(batch, step)
        norm = float(_full(torch.nn.utils.clip_grad_norm_(weights, settings.clip_norm)))
        _check(loss, norm, state, batch)
        optimizer.step()
        optimizer.zero_grad()
        state.step = done = step + 1
        seconds = time.monotonic() - begun
        metrics = {
            "step": done,
            "steps": steps,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": optimizer.param_groups[0]["lr"],
            "chunks_per_second": settings.batch_size * (done - first) / seconds,
            "eta_seconds": seconds / (done - first) * (steps - done),
        }
        is_noticed = hooks.is_preempted()
        is_preempted, was_noticed = is_noticed and not was_noticed, is_noticed
        is_last = done == steps
        if hooks.score and (is_last or done % settings.dev.every_steps == 0):
            is_last |= _score(hooks, encoder, settings, state, metrics, workers)
        hooks.progress(metrics)
        is_due = done % epoch_steps == 0 or done % (settings.checkpoint_steps or steps) == 0
        if is_last or is_due or is_preempted or "dev" in metrics:
            if hooks.score:
                metrics.setdefault("dev", NO_SCORE)
            shutil.rmtree(scratch, ignore_errors=True)
            checkpoints.save(scratch, encoder, optimizer, state.as_json(), state.mined)
            hooks.report(metrics, scratch)
        if is_last:
            break
    encoder.eval()


def _hard_negatives(
    encoding: SharedEncoding, data: TrainingData, steps: int, hooks: Hooks, state: _State
) -> HardNegatives | None:
    settings, wanted = encoding.settings, encoding.settings.hard_negatives
    if not wanted:
        return None
    every = wanted.refresh_steps
    if "encoder" in wanted.sources and state.mined_at < state.step // every:
        state.mined_at = state.step // every
        until = min((state.mined_at + 1) * every, steps)
        terms = terms_of_steps(data, range(state.step, until), settings)
        pool = pool_of(data, wanted, settings.seed)
        state.mined = encoding.workers.first(mine(data, terms, pool, by_encoder(encoding, pool), wanted.depth))
    return HardNegatives([*hooks.sources, *([state.mined] if state.mined else [])])


def _score(
    hooks: Hooks, encoder: Encoder, settings: TrainingSettings, state: _State, metrics: Metrics, workers: Workers
) -> bool:
    """Whether to stop for want of anything better."""
    assert hooks.score
    encoder.eval()
    metrics.update(workers.first(hooks.score(encoder)))
    encoder.train()
    is_better = metrics["dev"] > state.best
    state.best = max(state.best, metrics["dev"])
    state.without_better = 0 if is_better else state.without_better + 1
    return _is_without_better(settings, state)


def _is_without_better(settings: TrainingSettings, state: _State) -> bool:
    """Whether patience is at its end."""
    return settings.dev.patience is not None and state.without_better >= settings.dev.patience


def _check(loss: float, norm: float, state: _State, batch: Batch) -> None:
    usual = statistics.median(state.norms) if len(state.norms) >= FEWEST else math.inf
    if not math.isfinite(loss) or not math.isfinite(norm) or (usual and norm > DIVERGED * usual):
        raise TrainingDivergedError(
            f"training diverged in step {state.step + 1}: loss {loss:g}, gradient norm {norm:g}, in the chunks "
            f"{', '.join(batch.idx)}; lower training.learning_rate or look at these records"
        )
    state.norms = [*state.norms, norm][-REMEMBERED:]


def _full(norm: torch.Tensor) -> torch.Tensor:
    """A sharded tensor's value."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
