"""Any task's answers about the chunks of a store: `<task>.jsonl`, {"idx": chunk id, <task>: items} a line."""

import json
from collections import Counter
from typing import Any

import lance
import pyarrow.compute as pc

from corpus.store import Store
from datagen.generation.answer_files import ANSWERS
from datagen.generation.asking import Place, ask, note_calls
from datagen.generation.rounds import Progress
from datagen.generation.settings import AskSettings
from datagen.guard import Guard
from datagen.identifying import looks_identifying
from datagen.report import SAMPLES, write_answers_report
from datagen.tasks import load_task


def annotate(
    store: Store, task_name: str, settings: AskSettings, guard: Guard, place: Place, progress: Progress
) -> dict[str, int]:
    """Ask about every chunk that may be trained on and write what was answered, with a report.

    Items that hold what looks like a person's name, a date or a record number are left out. The counts of calls, of
    errors by reason, and of items. Raises ValueError for an unknown task, one that needs a query, or where nothing was
    answered.
    """
    task = load_task(task_name)
    if task.needs_query:
        raise ValueError(f"task {task_name} reads a query beside each chunk; there is a job of its own for it")
    asked = ask(task, settings, note_calls(store, task, 1, guard, place.earlier), place, progress)
    counts = Counter(asked.counts) + Counter()
    counts.update(items=0, dropped_identifying=0)
    samples: dict[str, list[Any]] = {}
    answers = lance.dataset(place.folder / ANSWERS)
    with (place.folder / f"{task_name}.jsonl").open("w") as lines:
        for batch in answers.to_batches(columns=["chunk_id", "items", "is_truncated"], filter="status = 'ok'"):
            for answer in batch.to_pylist():
                items = json.loads(answer["items"])
                kept = [item for item in items if not any(map(looks_identifying, _strings(item)))]
                counts.update(items=len(kept), dropped_identifying=len(items) - len(kept))
                line = {"idx": answer["chunk_id"], task_name: kept, "is_truncated": answer["is_truncated"]}
                lines.write(json.dumps(line, ensure_ascii=False) + "\n")
                if kept and len(samples) < SAMPLES:
                    samples[answer["chunk_id"]] = kept
    report = {"counts": dict(counts), "generation": {**asked.tokens, **asked.cost}}
    write_answers_report(report, task_name, samples, _texts(store, list(samples)), place.folder)
    return dict(counts)


def _strings(item: Any) -> list[str]:
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [item] if isinstance(item, str) else [text for part in parts for text in _strings(part)]


def _texts(store: Store, chunk_ids: list[str]) -> dict[str, str]:
    found = store.chunks().to_table(columns=["chunk_id", "text"], filter=pc.field("chunk_id").isin(chunk_ids))
    return dict(zip(found["chunk_id"].to_pylist(), found["text"].to_pylist(), strict=True))
