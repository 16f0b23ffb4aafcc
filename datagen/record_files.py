"""Notes of the store to a file of training records, on Ray Data. What makes a record of a chunk is given."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import xxhash

from corpus.chunking import ChunkingSettings
from corpus.store import Store
from datagen.annotators.base import Annotator
from datagen.annotators.llm import LlmAnnotator
from datagen.annotators.rules import RuleAnnotator
from datagen.generation.answer_files import ANSWERS, ERRORS
from datagen.generation.asking import read_usage
from datagen.graph.artefact import BuiltGraph
from datagen.guard import Guard
from datagen.records import stage2_record
from datagen.report import write_report
from datagen.stage1 import Stage1, Stage1Settings
from datagen.training_notes import NOTES_AT_ONCE, TrainingNote, read_notes, training_notes

RECORDS_FILE = "records.jsonl"
MOST_NOTES_COUNTED = 5000

Progress = Callable[[str, int, int | None], None]
Record = dict[str, Any]


MakeRecords = Callable[[list[TrainingNote], Counter[str]], Iterable[Record | None]]
"""One record, or None, for every chunk of the notes, in order; the counter is told what was left out."""


def match_entities(
    store: Store, graph: Path, settings: Stage1Settings, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 1: records of the graph terms matched in each chunk and of their expansion. Counts as `write_records`."""
    frequencies = _frequencies(store, graph, settings) if settings.expansion.profile == "nearest" else None
    make = partial(_match, graph=graph, settings=settings, excluded_terms=guard.terms, frequencies=frequencies)
    lists = _stage1(graph, settings.model_dump_json(), guard.terms).list_records(frequencies)
    return write_records(store, make, guard, graph, folder, progress, "notes matched", further=lists)


def generate_entities(
    store: Store, graph: Path, answers: Path | None, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 2: records of what is stated or implied in each chunk. Counts as `write_records`.

    By a folder of a language model's `answers`, whose error table comes along, or else by the rules.
    """
    if answers:
        shutil.copy(answers / ERRORS, folder)
    make = partial(_annotate, graph=graph, answers=answers, excluded_terms=guard.terms)
    asked = read_usage(answers) if answers else None
    return write_records(store, make, guard, graph, folder, progress, "notes annotated", asked)


def write_records(
    store: Store,
    make: MakeRecords,
    guard: Guard,
    graph: Path,
    folder: Path,
    progress: Progress,
    doing: str,
    asked: tuple[dict[str, int], dict[str, Any]] | None = None,
    further: Iterable[Record | None] = (),
) -> dict[str, int]:
    """Write `records.jsonl` and its report into `folder`; `asked` are counts and usage of a model that was asked.

    `further` are records of no note. The counts of notes, chunks, records and entities, and of notes left out by rule.
    Raises ValueError when no chunk gives a record.
    """
    total = store.notes().count_rows()
    as_lines = partial(_as_lines, make=make, guard=guard, chunking=store.chunking)
    counts: Counter[str] = Counter()
    with (folder / RECORDS_FILE).open("w") as file:
        batches = read_notes(store).map_batches(as_lines, batch_size=NOTES_AT_ONCE, batch_format="pyarrow")
        for batch in batches.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in cast(pa.Table, batch).to_pylist():
                file.writelines(row["lines"])
                counts.update(json.loads(row["counts"]))
                progress(doing, row["notes"], total)
        if not counts["records"]:
            left_out = {rule: count for rule, count in counts.items() if rule.startswith("left_out")}
            raise ValueError(
                f"none of {counts['chunks']} chunks of {store.folder} gave a training record (notes left out by the "
                f"guard: {left_out or 'none'}); does the knowledge graph fit the language and the field of the notes?"
            )
        for record in further:
            if record:
                file.write(_as_line(record))
                counts.update(records=1, entities=len(record["entities"]))
    of_calls, usage = asked or ({}, {})
    result = {"notes": total, **of_calls, **counts}
    write_report(folder / RECORDS_FILE, result, _built(graph), folder, usage)
    return result


def _as_lines(table: pa.Table, make: MakeRecords, guard: Guard, chunking: ChunkingSettings) -> pa.Table:
    counts: Counter[str] = Counter(chunks=0, records=0, entities=0)
    records = list(make(training_notes(table, guard, chunking, counts), counts))
    lines = [_as_line(record) for record in records if record]
    counts.update(chunks=len(records), records=len(lines), entities=sum(len(r["entities"]) for r in records if r))
    return pa.table({"lines": pa.array([lines]), "counts": [json.dumps(counts)], "notes": [len(table)]})


def _as_line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _match(
    notes: list[TrainingNote],
    counts: Counter[str],
    graph: Path,
    settings: Stage1Settings,
    excluded_terms: frozenset[str],
    frequencies: Mapping[str, int] | None,
) -> Iterator[Record | None]:
    stage1 = _stage1(graph, settings.model_dump_json(), excluded_terms)
    for note in notes:
        told = (note.note_id, note.text, note.spans, frequencies)
        yield from stage1.records(*told)
        yield from stage1.rewritten_records(*told)


def _frequencies(store: Store, graph: Path, settings: Stage1Settings) -> Counter[str]:
    """How often the notes use each term, counted on those whose hashed ids are smallest, wherever they lie."""
    notes = store.notes()
    ids = notes.to_table(columns=["note_id"])["note_id"]
    hashes = np.fromiter((xxhash.xxh64_intdigest(each.as_py().encode()) for each in ids), np.uint64, len(ids))
    rows = np.sort(np.argsort(hashes, kind="stable")[:MOST_NOTES_COUNTED])
    texts = notes.take(rows.tolist(), columns=["text"])["text"].to_pylist()
    stage1 = _stage1(graph, settings.model_dump_json(), frozenset())
    counts: Counter[str] = Counter()
    for first in range(0, len(texts), NOTES_AT_ONCE):
        counts.update(stage1.frequencies(texts[first : first + NOTES_AT_ONCE]))
    return counts


def _annotate(
    notes: list[TrainingNote],
    counts: Counter[str],
    graph: Path,
    answers: Path | None,
    excluded_terms: frozenset[str],
) -> Iterator[Record | None]:
    annotator = _annotator(graph, answers)
    chunks = (chunk for note in notes for chunk in note.chunks())
    for (chunk_id, text), found in zip(chunks, annotator.findings(notes, counts), strict=True):
        yield stage2_record(chunk_id, text, found, _built(graph), annotator.provenance, excluded_terms)


@lru_cache(maxsize=1)
def _annotator(graph: Path, answers: Path | None) -> Annotator:
    return LlmAnnotator(answers / ANSWERS, _built(graph)) if answers else RuleAnnotator()


@lru_cache(maxsize=1)
def _stage1(graph: Path, settings: str, excluded_terms: frozenset[str]) -> Stage1:
    return Stage1(_built(graph), Stage1Settings.model_validate_json(settings), excluded_terms)


@lru_cache(maxsize=1)
def _built(graph: Path) -> BuiltGraph:
    return BuiltGraph.open(graph)
