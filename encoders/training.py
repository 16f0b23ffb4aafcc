"""The training loop: one for every variant, plain PyTorch, on one process or many.

A step is a function of (weights, optimiser state, step number): batch, dropout and learning rate follow from the
seed and the number alone. That is what makes a resumed run end like an uninterrupted one.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from pydantic import BaseModel, Field
from torch.nn.parallel import DistributedDataParallel

from encoders.batches import Batch, make_batch, steps_per_epoch
from encoders.encoder import Encoder
from encoders.losses import both_ways
from encoders.training_data import TrainingData

CHECKPOINT = "checkpoint.pt"


class TrainingSettings(BaseModel):
    """How an encoder is trained."""

    epochs: int = Field(default=1, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    """Stop here even within an epoch: a budget."""
    batch_size: int = Field(default=32, gt=1)
    """Chunks a step, over all workers together."""
    num_pos: int = Field(default=8, gt=0)
    """Terms drawn a chunk."""
    chunk_tokens: int = Field(default=160, gt=2)
    term_tokens: int = Field(default=16, gt=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; it falls to 0 over the rest."""
    base_weight: float = Field(default=0.0, ge=0, lt=1)
    """Share of the base encoder in the exported weights: averaging the two forgets less of what the base knew
    (Wortsman et al. 2022, arXiv 2109.01903)."""
    checkpoint_steps: int | None = Field(default=None, gt=0)
    """A checkpoint every so many steps, beside the one after each epoch."""
    seed: int = 0


Metrics = dict[str, float]
Progress = Callable[[Metrics], None]
Report = Callable[[Metrics, Path | None], None]
"""Called by every rank when a checkpoint is due; rank 0 gives the folder that holds it."""


class BiEncoder(torch.nn.Module):
    """Chunks and terms through one encoder in one forward pass, as data-parallel training needs it."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        # BERT's own pooling head takes no part; data-parallel training would wait for its gradient.
        if (pooler := getattr(encoder.transformer, "pooler", None)) is not None:
            pooler.requires_grad_(False)

    def forward(self, chunks: Any, terms: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.encoder(*chunks), self.encoder(*terms)


def check_batches(records: int, settings: TrainingSettings, workers: int) -> None:
    """Raises ValueError when a batch cannot be filled, or not shared evenly."""
    steps_per_epoch(records, settings.batch_size)
    if settings.batch_size % workers:
        raise ValueError(f"batch_size={settings.batch_size} cannot be shared evenly by {workers} workers")


def train(
    encoder: Encoder,
    data: TrainingData,
    settings: TrainingSettings,
    progress: Progress,
    report: Report,
    scratch: Path,
    resume: Path | None = None,
) -> None:
    """Train `encoder` in place, from the checkpoint folder `resume` on where one is given.

    In a torch.distributed process group every rank calls this; weights are the same on all of them after each step.
    """
    rank, world = _rank_and_world()
    check_batches(len(data), settings, world)
    model: torch.nn.Module = BiEncoder(encoder.train())
    if world > 1:
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW((p for p in encoder.parameters() if p.requires_grad), lr=settings.learning_rate)
    first = 0
    if resume:
        state = _read(resume)
        encoder.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    epoch_steps = steps_per_epoch(len(data), settings.batch_size)
    steps = settings.epochs * epoch_steps
    steps = min(steps, settings.max_steps or steps)
    begun = time.monotonic()
    for step in range(first, steps):
        torch.manual_seed(hash((settings.seed, step, rank)))
        batch = make_batch(data, step, batch_size=settings.batch_size, num_pos=settings.num_pos, seed=settings.seed)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(step, steps, settings.warmup)
        loss = batch_loss(model, encoder, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done = step + 1
        seconds = time.monotonic() - begun
        metrics = {
            "step": done,
            "steps": steps,
            "loss": loss.item(),
            "chunks_per_second": settings.batch_size * (done - first) / seconds,
            "eta_seconds": seconds / (done - first) * (steps - done),
        }
        progress(metrics)
        if done == steps or done % epoch_steps == 0 or done % (settings.checkpoint_steps or steps) == 0:
            if rank == 0:
                scratch.mkdir(parents=True, exist_ok=True)
                state = {"weights": encoder.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
                torch.save(state, scratch / CHECKPOINT)
            report(metrics, scratch if rank == 0 else None)
    encoder.eval()


def batch_loss(model: torch.nn.Module, encoder: Encoder, batch: Batch) -> torch.Tensor:
    """The loss of the global batch. Each rank encodes its slice; vectors are gathered with their gradient.

    Every rank computes the same loss on the same matrix; summing over ranks in the gather's backward pass and
    averaging in DDP's give the gradient that one process would compute on the whole batch.
    """
    rank, world = _rank_and_world()
    chunks, terms = model(
        encoder.pad(_slice(batch.chunk_tokens, rank, world)), encoder.pad(_slice(batch.term_tokens, rank, world))
    )
    if world > 1:
        # Imported here because older torch, on which one process trains as well, has it under another name.
        from torch.distributed._functional_collectives import all_gather_single_autograd

        everyone = torch.distributed.distributed_c10d._get_default_group()
        chunks, terms = (all_gather_single_autograd(own, 0, everyone) for own in (chunks, terms))
    scores = chunks[: len(batch.chunk_tokens)] @ terms[: len(batch.term_tokens)].T
    positives = torch.as_tensor(batch.positives, device=scores.device)
    return both_ways(scores, positives, torch.as_tensor(batch.negatives, device=scores.device))


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Linear rise over the first `warmup` share of the steps, linear fall to 0 over the rest."""
    rising = warmup * steps
    return min(1.0, (step + 1) / rising) if step < rising else (steps - step) / (steps - rising)


def load_weights(checkpoint: Path, encoder: Encoder, base_weight: float = 0.0) -> None:
    """Put a checkpoint's weights into `encoder`, which keeps `base_weight` of its own."""
    trained = _read(checkpoint)["weights"]
    own = encoder.state_dict()
    encoder.load_state_dict({name: torch.lerp(trained[name], own[name], base_weight) for name in own})


def _slice(items: list[list[int]], rank: int, world: int) -> list[list[int]]:
    """The rank's equal share; the last share is filled up with the first item, which is cut off again afterwards."""
    share = -(-len(items) // world)
    mine = items[rank * share : (rank + 1) * share]
    return mine + items[:1] * (share - len(mine))


def _rank_and_world() -> tuple[int, int]:
    if not torch.distributed.is_initialized():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _read(checkpoint: Path) -> dict[str, Any]:
    # On the CPU first: the driver that exports what GPU workers trained may have none.
    return torch.load(checkpoint / CHECKPOINT, map_location="cpu", weights_only=True)
