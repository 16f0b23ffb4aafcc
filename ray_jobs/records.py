"""What the jobs that write training records share: their settings, the built knowledge graph, the step."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from corpus.store import Store
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.builtin import BUILTIN_PATH
from datagen.graph.settings import GraphSettings
from datagen.guard import Guard, GuardSettings
from ray_jobs.job import Folder, require
from ray_jobs.steps import Step, package_data, run_step

MERGE_REPORT = "merge.json"
"""Beside the built graph and the records: its sources, what was joined, what was refused, samples of both."""

WriteRecords = Callable[[Store, Path, Guard, Path], dict[str, int]]
"""Takes the store, the built graph, the guard and the folder to write to; gives the counts."""


class RecordJobSettings(BaseModel):
    """From a store and a knowledge graph to training records."""

    store: Folder
    graph: GraphSettings = GraphSettings()
    built_graph: Folder
    """Where the built form of the graph is kept; jobs that name the same folder share it."""
    guard: GuardSettings = GuardSettings()
    output: Folder


def require_inputs(settings: RecordJobSettings) -> None:
    """Raises FileNotFoundError naming the setting and the path of an input that is not there."""
    named = {key.replace(".", "__"): path for key, path in settings.guard.files().items()}
    sources = {f"graph__sources__{i}__path": source.path for i, source in enumerate(settings.graph.sources)}
    require(store__path=settings.store.path, **named, **sources)


def run_record_step(
    name: str, settings: RecordJobSettings, own: dict[str, Any], files: dict[str, Path], write: WriteRecords
) -> None:
    """Build the graph unless it is up to date, then write the records.

    `own` are the job's further settings that change the records, `files` what it reads beside store and graph.
    """
    require_inputs(settings)
    require(**{key.replace(".", "__"): path for key, path in files.items()})
    graph = _built_graph(settings)

    def write_step(step: Step) -> dict[str, int]:
        # Whoever trains on the records is told the licences of the graph that is in them.
        shutil.copy(settings.built_graph.path / MERGE_REPORT, step.folder)
        return write(Store(settings.store.path), graph, Guard(settings.guard, BuiltGraph.open(graph)), step.folder)

    run_step(
        name,
        settings.output.path,
        {**own, "guard": settings.guard.model_dump(include={"min_words", "overlap"})},
        {
            "store": settings.store.path,
            "graph": settings.built_graph.path,
            "rules": package_data("datagen"),
            **settings.guard.files(),
            **files,
        },
        write_step,
    )


def _built_graph(settings: RecordJobSettings) -> Path:
    def build(step: Step) -> dict[str, int]:
        graph, report = settings.graph.read()
        (step.folder / MERGE_REPORT).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        build_graph(graph, step.folder / "built")
        joined = {name: count for name, count in report.items() if name.startswith("joined_")}
        bad = {"bad_rows": sum(source["bad_rows"]["count"] for source in report["sources"])}
        return {"concepts": graph.concepts.num_rows, "terms": graph.terms.num_rows, **joined, **bad}

    sources = settings.graph.sources
    run_step(
        "build_graph",
        settings.built_graph.path,
        {"sources": [source.model_dump(exclude={"path"}) for source in sources]},
        {f"sources[{i}]": source.path or BUILTIN_PATH for i, source in enumerate(sources)},
        build,
    )
    return settings.built_graph.path / "built"
