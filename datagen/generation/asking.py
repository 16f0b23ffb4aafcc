"""Asking a model about the chunks of a store: calls, rounds, answers and errors, tokens and cost."""

from collections import Counter
from functools import partial
from operator import mul
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from corpus.chunking import ChunkingSettings
from corpus.store import Store
from datagen.engines.vllm import VllmSettings, gpus_of
from datagen.generation.answer_files import ANSWERS, failed_calls, tokens, write_answers
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.generation.rounds import Progress, Round, WriteCalls, ask_in_rounds
from datagen.generation.settings import AskSettings
from datagen.guard import Guard
from datagen.tasks.base import Task
from datagen.training_notes import NOTES_AT_ONCE, read_notes, training_notes


class Place(NamedTuple):
    """Where a job works."""

    folder: Path
    """Becomes the output."""
    scratch: Path
    """Outlives an interruption."""
    earlier: Path | None = None
    """The finished output whose failed calls alone are asked again."""


class Generation(NamedTuple):
    """What asking took."""

    counts: dict[str, int]
    tokens: dict[str, int]
    cost: dict[str, float | None]


def ask(task: Task, settings: AskSettings, write_calls: WriteCalls, place: Place, progress: Progress) -> Generation:
    """Answer all calls into `answers.lance` and `errors.jsonl` of the place's folder; see `write_answers`."""
    rounds = ask_in_rounds(
        place.scratch, write_calls, settings.ask(task), settings.tries, f"{task.name}: calls answered", progress
    )
    used = tokens(rounds)
    earlier = place.earlier / ANSWERS if place.earlier else None
    return Generation(write_answers(rounds, place.folder, earlier), used, _cost(settings, used, rounds))


def note_calls(store: Store, task: Task, votes: int, guard: Guard, earlier: Path | None) -> WriteCalls:
    """What writes the calls about every chunk that may be trained on, or about those of failed calls alone."""
    only = failed_calls(earlier / ANSWERS) if earlier else None
    to_calls = partial(_calls, task=task, votes=votes, guard=guard, chunking=store.chunking, only=only)

    def write(folder: Path) -> None:
        calls = read_notes(store).map_batches(to_calls, batch_size=NOTES_AT_ONCE, batch_format="pyarrow")
        calls.write_parquet(str(folder))

    return write


def _calls(
    notes: pa.Table, task: Task, votes: int, guard: Guard, chunking: ChunkingSettings, only: frozenset[str] | None
) -> pa.Table:
    chunks = (chunk for note in training_notes(notes, guard, chunking, Counter()) for chunk in note.chunks())
    calls = [call for call in chunk_calls(task, chunks, votes) if only is None or call["call_id"] in only]
    return pa.Table.from_pylist(calls, schema=CALL_SCHEMA)


def _cost(settings: AskSettings, used: dict[str, int], rounds: list[Round]) -> dict[str, float | None]:
    """Hours, GPU hours and the price, None where the settings name none."""
    engine = settings.engine
    hours = sum(each.seconds for each in rounds) / 3600
    if isinstance(engine, VllmSettings):
        gpu_hours = hours * gpus_of(engine)
        price = None if engine.gpu_hour_price is None else gpu_hours * engine.gpu_hour_price
        return {"hours": hours, "gpu_hours": gpu_hours, "price": price}
    prices = (engine.input_price, engine.output_price)
    paid = (used["prompt_tokens"], used["output_tokens"])
    known = [each for each in prices if each is not None]
    price = sum(map(mul, known, paid)) / 1e6 if len(known) == len(prices) else None
    return {"hours": hours, "price": price}
