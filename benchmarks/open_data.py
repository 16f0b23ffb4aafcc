"""The open notes and ontologies that the benchmarks run on; their README stands beside them."""

import gzip
import json
from pathlib import Path
from typing import Any

from datagen.graph.settings import GraphSettings
from datagen.graph.tables import KnowledgeGraph

DATA = Path("../shared/data")


def open_notes(data: Path) -> list[dict[str, Any]]:
    """The rows of the 8,133 notes."""
    with gzip.open(data / "notes" / "notes.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def open_ontologies(data: Path) -> KnowledgeGraph:
    """DOID, HP and SYMP as one graph."""
    files = ("doid.obo.gz", "hp.json.gz", "symp.obo.gz")
    sources = [{"format": "obo", "path": data / "kg" / name} for name in files]
    return GraphSettings.model_validate({"sources": sources}).read()[0]
