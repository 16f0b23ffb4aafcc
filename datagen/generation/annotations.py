"""Any task's answers as a file: `<task>.jsonl`, {"idx": chunk id, <task>: items, "is_truncated"} a line."""

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import ray
import xxhash

from corpus.store import Store
from datagen.generation.answer_files import ANSWERS
from datagen.generation.asking import read_usage
from datagen.generation.rounds import Progress
from datagen.identifying import looks_identifying
from datagen.report import SAMPLES, write_answers_report


def write_annotations(store: Store, task: str, answers: Path, folder: Path, progress: Progress) -> dict[str, int]:
    """Write the items of a folder of answers with a report; the counts of calls, of errors by reason, and of items.

    Items that hold what looks like a person's name, a date or a record number are left out. Samples are the chunks
    whose hashed ids are smallest.
    """
    asked, usage = read_usage(answers)
    counts = Counter(asked)
    counts.update(items=0, dropped_identifying=0)
    samples: list[tuple[int, str, list[Any]]] = []
    columns = ["chunk_id", "items", "is_truncated"]
    rows = ray.data.read_lance(str(answers / ANSWERS), columns=columns, filter="status = 'ok'")
    batches = rows.map_batches(partial(_lines, task=task), batch_format="pyarrow")
    with (folder / f"{task}.jsonl").open("w") as lines:
        for batch in batches.iter_batches(batch_size=None, batch_format="pyarrow"):
            for line, items, dropped in zip(*cast(pa.Table, batch).to_pydict().values(), strict=True):
                lines.write(line + "\n")
                counts.update(items=items, dropped_identifying=dropped)
                if items:
                    record = json.loads(line)
                    rank = xxhash.xxh32_intdigest(record["idx"].encode())
                    samples = sorted([*samples, (rank, record["idx"], record[task])])[:SAMPLES]
            progress(f"{task}: answers written", len(cast(pa.Table, batch)), asked["answered"])
    sampled = {chunk_id: items for _, chunk_id, items in samples}
    write_answers_report(dict(counts), usage, task, sampled, _texts(store, list(sampled)), folder)
    return dict(counts)


def _lines(answers: pa.Table, task: str) -> pa.Table:
    lines, kept_items, dropped = [], [], []
    for answer in answers.to_pylist():
        items = json.loads(answer["items"])
        kept = [item for item in items if not any(map(looks_identifying, _strings(item)))]
        line = {"idx": answer["chunk_id"], task: kept, "is_truncated": answer["is_truncated"]}
        lines.append(json.dumps(line, ensure_ascii=False))
        kept_items.append(len(kept))
        dropped.append(len(items) - len(kept))
    return pa.table({"line": pa.array(lines, pa.string()), "items": kept_items, "dropped": dropped})


def _strings(item: Any) -> list[str]:
    """What is written anywhere in an item."""
    if isinstance(item, str):
        return [item] if item else []
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [text for part in parts for text in _strings(part)]


def _texts(store: Store, chunk_ids: list[str]) -> dict[str, str]:
    found = store.chunks().to_table(columns=["chunk_id", "text"], filter=pc.field("chunk_id").isin(chunk_ids))
    return dict(zip(found["chunk_id"].to_pylist(), found["text"].to_pylist(), strict=True))
