"""Chunks of the store to a file of training records, on Ray Data. What makes a record of a chunk is given."""

import json
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import ray

from corpus.store import Store
from datagen.annotators import make_annotator
from datagen.annotators.base import AnnotatorSettings
from datagen.expansion import ExpansionSettings
from datagen.graph.artefact import BuiltGraph
from datagen.guard import Guard
from datagen.matching import Matcher
from datagen.records import stage1_record, stage2_record

RECORDS_FILE = "records.jsonl"
BATCH_ROWS = 500

Progress = Callable[[str, int, int | None], None]
Records = Iterable[dict[str, Any] | None]
MakeRecords = Callable[[list[dict[str, Any]]], Records]


def match_entities(
    store: Store, graph: Path, expansion: ExpansionSettings, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 1: records of the graph terms matched in each chunk and of their expansion. Counts as `write_records`."""
    make = partial(_match, graph=graph, expansion=expansion, guard=guard)
    return write_records(store, make, folder, progress, "chunks matched")


def generate_entities(
    store: Store, graph: Path, annotator: AnnotatorSettings, guard: Guard, folder: Path, progress: Progress
) -> dict[str, int]:
    """Stage 2: records of what the annotator finds stated or implied in each chunk. Counts as `write_records`."""
    make = partial(_annotate, graph=graph, annotator=annotator, guard=guard)
    return write_records(store, make, folder, progress, "chunks annotated")


def write_records(store: Store, make: MakeRecords, folder: Path, progress: Progress, doing: str) -> dict[str, int]:
    """Write `records.jsonl` into `folder`; the counts of chunks, records and entities.

    Raises ValueError when no chunk gives a record.
    """
    chunks = store.chunks()
    total = chunks.count_rows()
    dataset = ray.data.read_lance(str(store.chunks_path), columns=["chunk_id", "patient_id", "text"])
    lines = dataset.map_batches(partial(_as_lines, make=make), batch_size=BATCH_ROWS, batch_format="pyarrow")
    records = entities = 0
    with (folder / RECORDS_FILE).open("w") as file:
        for batch in lines.iter_batches(batch_size=None, batch_format="pyarrow"):
            table = cast(pa.Table, batch)
            for line, count in zip(table["line"].to_pylist(), table["entities"].to_pylist(), strict=True):
                if line is not None:
                    file.write(line + "\n")
                    records += 1
                    entities += count
            progress(doing, len(table), total)
    if not records:
        raise ValueError(
            f"none of {total} chunks of {store.folder} gave a training record; does the knowledge graph fit the "
            "language and the field of the notes, and does the guard leave any note in?"
        )
    return {"chunks": total, "records": records, "entities": entities}


def _as_lines(table: pa.Table, make: MakeRecords) -> pa.Table:
    records = list(make(table.to_pylist()))
    lines = [None if record is None else json.dumps(record, ensure_ascii=False) for record in records]
    counts = [0 if record is None else len(record["entities"]) for record in records]
    return pa.table({"line": pa.array(lines, pa.string()), "entities": pa.array(counts, pa.int64())})


def _match(chunks: list[dict[str, Any]], graph: Path, expansion: ExpansionSettings, guard: Guard) -> Records:
    matcher = _matcher(graph)
    for chunk in chunks:
        admitted = guard.admits(chunk["patient_id"], chunk["chunk_id"], chunk["text"])
        yield stage1_record(chunk["chunk_id"], chunk["text"], matcher, expansion, guard.terms) if admitted else None


def _annotate(chunks: list[dict[str, Any]], graph: Path, annotator: AnnotatorSettings, guard: Guard) -> Records:
    built = _matcher(graph).graph
    findings = make_annotator(annotator).annotate([chunk["text"] for chunk in chunks])
    for chunk, found in zip(chunks, findings, strict=True):
        admitted = guard.admits(chunk["patient_id"], chunk["chunk_id"], chunk["text"])
        yield (
            stage2_record(chunk["chunk_id"], chunk["text"], found, built, excluded_terms=guard.terms)
            if admitted
            else None
        )


@lru_cache(maxsize=1)
def _matcher(graph: Path) -> Matcher:
    return Matcher(BuiltGraph.open(graph))
