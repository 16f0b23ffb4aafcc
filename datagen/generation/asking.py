"""Asking a model about the chunks of a store: `answers.lance`, `errors.jsonl` and `usage.json` in one folder."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from corpus.chunking import ChunkingSettings
from corpus.store import Store
from datagen.engines.vllm import VllmSettings
from datagen.generation.answer_files import ANSWERS, NothingAnswered, failed_calls, tokens, write_answers
from datagen.generation.calls import CALL_SCHEMA, chunk_calls
from datagen.generation.rounds import Progress, Round, WriteCalls, ask_in_rounds
from datagen.generation.settings import AskSettings
from datagen.guard import Guard
from datagen.tasks.base import Task
from datagen.training_notes import NOTES_AT_ONCE, read_notes, training_notes

USAGE = "usage.json"


def ask(
    task: Task,
    settings: AskSettings,
    write_calls: WriteCalls,
    folder: Path,
    scratch: Path,
    earlier: Path | None,
    progress: Progress,
) -> dict[str, int]:
    """Answer all calls into `folder`; the counts of `write_answers`.

    `scratch` outlives an interruption. `earlier` is a finished folder of which the calls are the failed ones alone.
    """
    name = f"{task.name}: calls answered"
    rounds = ask_in_rounds(scratch, write_calls, settings.engine_for(task), settings.tries, name, progress)
    try:
        counts = write_answers(rounds, folder, earlier / ANSWERS if earlier else None)
    except NothingAnswered:
        # The next run is to ask again: what went wrong may be put right outside the settings.
        for each in rounds:
            shutil.rmtree(each.folder)
        raise
    usage = _usage(settings, rounds, read_usage(earlier)[1] if earlier else {})
    (folder / USAGE).write_text(json.dumps({"counts": counts, "usage": usage}, indent=2) + "\n")
    return counts


def read_usage(folder: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """The counts of a folder of answers, and the tokens, hours, GPU hours and price that they took."""
    read = json.loads((folder / USAGE).read_text())
    return read["counts"], read["usage"]


def note_calls(store: Store, task: Task, votes: int, share: float, guard: Guard, earlier: Path | None) -> WriteCalls:
    """What writes the calls about a share of the chunks that may be trained on, or the failed ones of `earlier`."""
    only = failed_calls(earlier / ANSWERS) if earlier else None
    to_calls = partial(_calls, task=task, votes=votes, share=share, guard=guard, chunking=store.chunking, only=only)

    def write(folder: Path) -> None:
        calls = read_notes(store).map_batches(to_calls, batch_size=NOTES_AT_ONCE, batch_format="pyarrow")
        calls.write_parquet(str(folder))

    return write


def _calls(
    notes: pa.Table,
    task: Task,
    votes: int,
    share: float,
    guard: Guard,
    chunking: ChunkingSettings,
    only: frozenset[str] | None,
) -> pa.Table:
    chunks = (
        (chunk_id, text)
        for note in training_notes(notes, guard, chunking, Counter())
        for chunk_id, text in note.chunks()
        if xxhash.xxh64_intdigest(chunk_id.encode()) < share * 2**64
    )
    calls = [call for call in chunk_calls(task, chunks, votes) if only is None or call["call_id"] in only]
    return pa.Table.from_pylist(calls, schema=CALL_SCHEMA)


def _usage(settings: AskSettings, rounds: Sequence[Round], earlier: dict[str, Any]) -> dict[str, Any]:
    """The price is None where the settings name none."""
    hours, gpu_hours = map(sum, zip((0.0, 0.0), *(each.hours() for each in rounds), strict=True))
    used = {**tokens(rounds), "hours": hours, "gpu_hours": gpu_hours}
    usage: dict[str, Any] = {name: round(amount + earlier.get(name, 0), 4) for name, amount in used.items()}
    engine = settings.engine
    if isinstance(engine, VllmSettings):
        del usage["cached_tokens"]  # ray.data.llm does not pass them on
        return usage | {"price": _price((engine.gpu_hour_price, usage["gpu_hours"]))}
    del usage["gpu_hours"]
    bill = (engine.input_price, usage["prompt_tokens"] / 1e6), (engine.output_price, usage["output_tokens"] / 1e6)
    return usage | {"price": _price(*bill)}


def _price(*items: tuple[float | None, float]) -> float | None:
    costs = [price * amount for price, amount in items if price is not None]
    return round(sum(costs), 6) if len(costs) == len(items) else None
