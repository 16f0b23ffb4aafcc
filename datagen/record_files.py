"""Notes of the store to a file of training records, on Ray Data. What makes a record of a chunk is given.

Notes, not chunks, are what is read: whether a note may be trained on and which abbreviations it defines are questions
about the whole of it. Its chunks are cut again as the store cut them, with the same ids.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import ray
import xxhash

from corpus.chunking import ChunkingSettings, Cleaned, windows
from corpus.store import Store
from datagen.annotators import make_annotator
from datagen.annotators.base import AnnotatorSettings
from datagen.graph.artefact import BuiltGraph
from datagen.guard import Guard
from datagen.records import stage2_record
from datagen.report import write_report
from datagen.stage1 import Stage1, Stage1Settings

RECORDS_FILE = "records.jsonl"
NOTES_AT_ONCE = 100
MOST_NOTES_COUNTED = 5000

Progress = Callable[[str, int, int | None], None]
Record = dict[str, Any]


class TrainingNote(NamedTuple):
    """A note that may be trained on: its cleaned text and the spans of its chunks in that."""

    note_id: str
    text: str
    spans: list[tuple[int, int]]

    def chunks(self) -> Iterator[tuple[str, str]]:
        """(chunk_id, text) of each chunk."""
        for i, (start, end) in enumerate(self.spans):
            yield f"{self.note_id}_{i}", self.text[start:end]


MakeRecords = Callable[[list[TrainingNote]], Iterable[Record | None]]
"""One record, or None, for every chunk of the notes, in order."""


def match_entities(
    store: Store, graph: Path, settings: Stage1Settings, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 1: records of the graph terms matched in each chunk and of their expansion. Counts as `write_records`."""
    frequencies = _frequencies(store, graph, settings) if settings.expansion.profile == "nearest" else None
    make = partial(_match, graph=graph, settings=settings, excluded_terms=guard.terms, frequencies=frequencies)
    return write_records(store, make, guard, graph, folder, progress, "notes matched")


def generate_entities(
    store: Store, graph: Path, annotator: AnnotatorSettings, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 2: records of what the annotator finds stated or implied in each chunk. Counts as `write_records`."""
    make = partial(_annotate, graph=graph, annotator=annotator, excluded_terms=guard.terms)
    return write_records(store, make, guard, graph, folder, progress, "notes annotated")


def write_records(
    store: Store, make: MakeRecords, guard: Guard, graph: Path, folder: Path, progress: Progress, doing: str
) -> dict[str, int]:
    """Write `records.jsonl` and its report into `folder`.

    The counts of notes, chunks, records and entities, and of notes left out by rule.
    Raises ValueError when no chunk gives a record.
    """
    total = store.notes().count_rows()
    columns = ["note_id", "encounter_id", "patient_id", "text"]
    notes = ray.data.read_lance(str(store.notes_path), columns=columns)
    as_lines = partial(_as_lines, make=make, guard=guard, chunking=store.chunking)
    counts: Counter[str] = Counter()
    with (folder / RECORDS_FILE).open("w") as file:
        batches = notes.map_batches(as_lines, batch_size=NOTES_AT_ONCE, batch_format="pyarrow")
        for batch in batches.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in cast(pa.Table, batch).to_pylist():
                file.writelines(line + "\n" for line in row["lines"])
                counts.update(json.loads(row["counts"]))
                progress(doing, row["notes"], total)
    if not counts["records"]:
        left_out = {rule: count for rule, count in counts.items() if rule.startswith("left_out")}
        raise ValueError(
            f"none of {counts['chunks']} chunks of {store.folder} gave a training record (notes left out by the guard: "
            f"{left_out or 'none'}); does the knowledge graph fit the language and the field of the notes?"
        )
    write_report(folder / RECORDS_FILE, {"notes": total, **counts}, _built(graph), folder)
    return {"notes": total, **counts}


def _as_lines(table: pa.Table, make: MakeRecords, guard: Guard, chunking: ChunkingSettings) -> pa.Table:
    counts: Counter[str] = Counter(chunks=0, records=0, entities=0)
    admitted: list[TrainingNote] = []
    for note in table.to_pylist():
        if rule := guard.rule_for_note(**note):
            counts[f"left_out_{rule}"] += 1
            continue
        text = Cleaned(note["text"], chunking.profile).text
        admitted.append(TrainingNote(note["note_id"], text, list(windows(text, chunking))))
    records = list(make(admitted))
    lines = [json.dumps(record, ensure_ascii=False) for record in records if record]
    counts.update(chunks=len(records), records=len(lines), entities=sum(len(r["entities"]) for r in records if r))
    return pa.table({"lines": pa.array([lines]), "counts": [json.dumps(counts)], "notes": [len(table)]})


def _match(
    notes: list[TrainingNote],
    graph: Path,
    settings: Stage1Settings,
    excluded_terms: frozenset[str],
    frequencies: Mapping[str, int] | None,
) -> Iterator[Record | None]:
    stage1 = _stage1(graph, settings.model_dump_json())
    for note in notes:
        yield from stage1.records(note.note_id, note.text, note.spans, excluded_terms, frequencies)


def _frequencies(store: Store, graph: Path, settings: Stage1Settings) -> Counter[str]:
    """How often the notes use each term, counted on those whose hashed ids are smallest, wherever they lie."""
    notes = store.notes()
    ids = notes.to_table(columns=["note_id"])["note_id"]
    hashes = np.fromiter((xxhash.xxh64_intdigest(each.as_py().encode()) for each in ids), np.uint64, len(ids))
    rows = np.sort(np.argsort(hashes, kind="stable")[:MOST_NOTES_COUNTED])
    texts = notes.take(rows.tolist(), columns=["text"])["text"].to_pylist()
    stage1 = _stage1(graph, settings.model_dump_json())
    counts: Counter[str] = Counter()
    for first in range(0, len(texts), NOTES_AT_ONCE):
        counts.update(stage1.frequencies(texts[first : first + NOTES_AT_ONCE]))
    return counts


def _annotate(
    notes: list[TrainingNote], graph: Path, annotator: AnnotatorSettings, excluded_terms: frozenset[str]
) -> Iterator[Record | None]:
    built = _built(graph)
    chunks = [chunk for note in notes for chunk in note.chunks()]
    findings = make_annotator(annotator).annotate([text for _, text in chunks])
    for (chunk_id, text), found in zip(chunks, findings, strict=True):
        yield stage2_record(chunk_id, text, found, built, excluded_terms=excluded_terms)


@lru_cache(maxsize=1)
def _stage1(graph: Path, settings: str) -> Stage1:
    return Stage1(_built(graph), Stage1Settings.model_validate_json(settings))


@lru_cache(maxsize=1)
def _built(graph: Path) -> BuiltGraph:
    return BuiltGraph.open(graph)
