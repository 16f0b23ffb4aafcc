"""The open notes and ontologies that the benchmarks run on; their README stands beside them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from datagen.graph.settings import GraphSettings
from datagen.graph.tables import KnowledgeGraph

DATA, RUNS = Path("../shared/data"), Path("runs/open_notes")


def open_records(stage: int) -> Path:
    """Training records of the open notes with every open graph, made by the jobs and recipes; kept under runs/."""
    notes = [f"notes.path={DATA / 'notes' / 'notes.jsonl.gz'}", f"store.path={RUNS / 'store'}"]
    _run("prepare_corpus", "prepare_corpus", *notes)
    if stage == 1:
        _run("match_entities", "match_entities_open")
        return RUNS / "stage1_records_of_all_graphs"
    _run("generate_entities", "generate_entities_open")
    return RUNS / "stage2_records"


def _run(job: str, recipe: str, *overrides: str) -> None:
    settings = [f"--set={each}" for each in overrides]
    subprocess.run(
        [sys.executable, "-m", f"ray_jobs.{job}", "--config", f"recipes/{recipe}.yaml", *settings], check=True
    )


def open_notes(data: Path) -> list[dict[str, Any]]:
    """The rows of the 8,133 notes."""
    with gzip.open(data / "notes" / "notes.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def open_ontologies(data: Path) -> KnowledgeGraph:
    """DOID, HP and SYMP as one graph."""
    files = ("doid.obo.gz", "hp.json.gz", "symp.obo.gz")
    sources = [{"format": "obo", "path": data / "kg" / name} for name in files]
    return GraphSettings.model_validate({"sources": sources}).read()[0]
