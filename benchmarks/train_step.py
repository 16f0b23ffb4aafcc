"""A training step as DR.EHR's code does it against this project's: step rate, peak memory, the same loss.

    python -m benchmarks.train_step [--records <folder>] [--batch-size 32] [--num-pos 128] [--device cuda]

Both sides train the same encoder on the same batches, the same terms drawn for each chunk, with the loss as published
and AdamW; dropout is off, so that losses can be compared. The reference, written straightforwardly, repeats each
chunk's terms up to num_pos, encodes every copy in one padded batch, and stacks for each chunk the vectors of all other
chunks' terms. Sides between the two tell what each idea brings. Every side runs in a process of its own, the sides take
turns; figures are medians over the measured steps. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.open_data import open_records
from encoders.encoder import Encoder
from encoders.losses.multi_similarity import ALPHA, BETA, MARGIN, THRESHOLD
from encoders.spec import BUNDLED
from encoders.training.batches import Batch, make_batch
from encoders.training.data import TrainingData
from encoders.training.model import prepare, spread
from encoders.training.objective import Objective, Side
from encoders.training.settings import TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.step import GradientStep
from encoders.training.tables import stage_records, write_tables
from encoders.training.workers import Workers

STEPS = 3
TURNS = 2
MOST_RECORDS = 4000
Loss = Callable[[Encoder, TrainingData, Batch], torch.Tensor]


class Measured(NamedTuple):
    """What a side did in one turn."""

    seconds: list[float]
    losses: list[float]
    peak_mb: float


def encode(encoder: Encoder, token_ids: list[list[int]]) -> torch.Tensor:
    """All in one padded batch."""
    return encoder(*encoder.pad(token_ids, [0] * len(token_ids)))


def copies_of(batch: Batch) -> list[np.ndarray]:
    """For each chunk the columns of its terms, each as often as it was drawn."""
    counts = batch.pairs.tile(slice(0, len(batch.rows)))[0].astype(int)
    return [np.repeat(np.arange(len(batch.terms)), of_chunk) for of_chunk in counts]


def stacked_loss(chunks: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    """The published loss of chunks (B, D) and terms (B, P, D), by a tensor (B, (B - 1) P, D) of negatives."""
    others = [torch.cat([terms[:i], terms[i + 1 :]]).flatten(0, 1) for i in range(len(chunks))]
    positive = torch.einsum("bd,bpd->bp", chunks, terms)
    negative = torch.einsum("bd,bnd->bn", chunks, torch.stack(others))
    pull = positive * (positive - MARGIN < negative.amax(1, keepdim=True))
    push = negative * (negative + MARGIN > positive.amin(1, keepdim=True))
    total = torch.log1p(torch.exp(-ALPHA * (pull - THRESHOLD)).sum()) / ALPHA
    return (total + torch.log1p(torch.exp(BETA * (push - THRESHOLD)).sum()) / BETA) / len(chunks)


def every_copy(encoder: Encoder, data: TrainingData, batch: Batch) -> torch.Tensor:
    """The reference."""
    chunks = encode(encoder, [data.chunk_tokens(row) for row in batch.rows])
    drawn = [batch.terms[column] for columns in copies_of(batch) for column in columns]
    return stacked_loss(
        chunks, encode(encoder, [data.term_tokens(term) for term in drawn]).unflatten(0, (len(chunks), -1))
    )


def distinct_terms(encoder: Encoder, data: TrainingData, batch: Batch) -> torch.Tensor:
    """Each distinct term encoded once, its vector copied."""
    chunks = encode(encoder, [data.chunk_tokens(row) for row in batch.rows])
    terms = encode(encoder, [data.term_tokens(term) for term in batch.terms])
    return stacked_loss(chunks, terms[torch.from_numpy(np.stack(copies_of(batch))).to(terms.device)])


def one_product(encoder: Encoder, data: TrainingData, batch: Batch) -> torch.Tensor:
    """And scored by one matrix product, copies as weights."""
    sides = [[data.chunk_tokens(row) for row in batch.rows], [data.term_tokens(term) for term in batch.terms]]
    chunks, terms = (Side(encode(encoder, of), None) for of in sides)
    return Objective(SETTINGS)(chunks, terms, batch.pairs, Workers())


SETTINGS = TrainingSettings(loss="multi_similarity_as_published", false_negative_mask=False)
SIDES: dict[str, Loss | None] = {
    "reference": every_copy,
    "distinct terms": distinct_terms,
    "one product": one_product,
    "this project": None,  # and parts of similar length
}


def measure(side: str, folder: Path, batch_size: int, num_pos: int, device: str) -> Measured:
    """One turn of a side: a step to warm up, then STEPS measured ones."""
    settings = SETTINGS.model_copy(update={"batch_size": batch_size, "num_pos": num_pos})
    data, encoder = TrainingData(folder), Encoder.load(BUNDLED).to(device)
    prepare(encoder, settings)
    model = spread(encoder, settings, Workers())
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.AdamW((each for each in encoder.parameters() if each.requires_grad), lr=1e-5)
    gradient, loss_of = GradientStep(SharedEncoding(model, data, settings, Workers()), None), SIDES[side]
    before = _peak_mb()
    seconds, losses = [], []
    for step in range(STEPS + 1):
        begun = time.perf_counter()
        batch = make_batch(data, step, settings)
        if loss_of is None:
            losses.append(gradient(batch, step))
        else:
            loss = loss_of(encoder, data, batch)
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else _peak_mb() - before
    return Measured(seconds[1:], losses, peak)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run the sides and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, help="stage-1 records; without it those of the open notes are made")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--num-pos", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    turns: dict[str, list[Measured]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file = next(iter(sorted((arguments.records or open_records(stage=1)).glob("*.jsonl"))))
        with file.open(encoding="utf-8") as stream:
            lines = [line for _, line in zip(range(MOST_RECORDS), stream, strict=False)]
        write_tables(stage_records(lines, [str(file)] * len(lines), BUNDLED, 160), BUNDLED, SETTINGS, folder)
        for _ in range(TURNS):
            for side in SIDES:
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    of = (side, folder, arguments.batch_size, arguments.num_pos, arguments.device)
                    turns[side].append(process.submit(measure, *of).result())
                found = turns[side][-1]
                print(f"{side}: {median(found.seconds):.2f} s a step, {found.peak_mb:,.0f} MB", flush=True)
    seconds = {side: median(second for turn in of for second in turn.seconds) for side, of in turns.items()}
    memory = {side: median(turn.peak_mb for turn in of) for side, of in turns.items()}
    ours, theirs = turns["this project"][0].losses, turns["reference"][0].losses
    figures = {
        "speedup": seconds["reference"] / seconds["this project"],
        "memory_ratio": memory["this project"] / memory["reference"],
        "loss_difference": max(abs(a - b) for a, b in zip(ours, theirs, strict=True)),
        "speedup_by_part": {side: seconds["reference"] / seconds[side] for side in SIDES},
        "memory_by_part": {side: memory[side] / memory["reference"] for side in SIDES},
        "seconds": seconds,
        "megabytes": memory,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
