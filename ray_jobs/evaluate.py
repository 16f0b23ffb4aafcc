"""Score retrievers on a benchmark, or compare two evaluations: metrics, TREC run files and a report to read."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from datagen.graph.artefact import BuiltGraph, normalise
from encoders.corpus_encoding import encode_on
from encoders.kept_vectors import KeptVectors
from encoders.workers import WorkerSettings
from evaluation.benchmark import Benchmark
from evaluation.comparison import compare
from evaluation.evaluate import EvaluateSettings, evaluate
from evaluation.fingerprints import file_fingerprint
from evaluation.report import comparison_table, main_table
from evaluation.retrievers import Bench, input_of
from ray_jobs.job import Folder, main, require
from ray_jobs.progress import Progress
from ray_jobs.room import require_workers
from ray_jobs.steps import run_step
from reporting.terminal import print_table

MOST_SYNONYMS = 20


class EvaluateJobSettings(EvaluateSettings):
    built_graph: Folder | None = None
    """The graph that `expanded:` retrievers take synonyms from, as the jobs that write training records build it."""
    workers: WorkerSettings = WorkerSettings()
    vectors: Folder = Folder(path=Path("runs/vectors"))
    """Where vectors of chunks are kept from one evaluation to the next."""
    compare: tuple[Folder, Folder] | None = None
    """Two outputs of this job, the earlier one first: their comparison goes to `<output>_comparison`, nothing else is
    done."""

    @model_validator(mode="before")
    @classmethod
    def _compared_folders_are_paths(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("compare"), list):
            values = {**values, "compare": [{"path": each} for each in values["compare"]]}
        return values


def run(settings: EvaluateJobSettings, labels: Mapping[str, str] | None = None) -> None:
    """`labels` maps retrievers to the names that the tables print."""
    if settings.compare:
        before, after = settings.compare
        # Never where an evaluation stands: the recipe's own output may be one of the two.
        output = settings.output.path.with_name(f"{settings.output.path.name}_comparison")
        _compare(before.path, after.path, output)
        return
    graph = settings.built_graph.path / "built" if settings.built_graph else None
    require(benchmark__path=settings.benchmark.path, built_graph__path=graph)
    inputs = {name: name for spec in settings.retrievers if (name := input_of(spec))}
    # What a service answers may change at any time.
    asked = time.time_ns() if any("service:" in spec for spec in settings.retrievers) else 0
    run_step(
        "evaluate",
        settings.output.path,
        {
            "retrievers": settings.retrievers,
            "layout": settings.benchmark.layout,
            "labels": dict(labels or {}),
            "asked": asked,
        },
        {"benchmark": settings.benchmark.path, **inputs, **({"graph": graph} if graph else {})},
        lambda step: _summary(evaluate(settings, step.folder, _bench_of(settings, graph), labels)),
    )
    metrics = json.loads((settings.output.path / "metrics.json").read_text())
    title = f"{metrics['benchmark']}: retrievers compared"
    print_table(main_table(metrics, labels or {}), title)


def _bench_of(settings: EvaluateJobSettings, graph: Path | None) -> Callable[[Benchmark], Bench]:
    require_workers("encoding (workers)", settings.workers)
    count = Progress()
    vectors = KeptVectors(settings.vectors.path, encode_on(settings.workers, count))
    synonyms = _synonyms(graph) if graph else None
    digest = file_fingerprint(graph) if graph else ""

    def say(line: str) -> None:
        print(f"  {line}", flush=True)

    return lambda benchmark: Bench(benchmark, say, count, vectors, synonyms, digest)


def _synonyms(folder: Path) -> Callable[[str], Sequence[str]]:
    graph = BuiltGraph.open(folder)

    def names(text: str) -> list[str]:
        found = [term for concept in graph.concepts_of(text) for term in graph.terms_of(concept)]
        return [term for term in dict.fromkeys(found) if term != normalise(text)][:MOST_SYNONYMS]

    return names


def _compare(before: Path, after: Path, output: Path) -> None:
    require(compare__0=before, compare__1=after)
    run_step(
        "compare",
        output,
        {},
        {"before": before, "after": after},
        lambda step: {"retrievers": len(compare(before, after, step.folder)["comparisons"])},
    )
    result = json.loads((output / "comparison.json").read_text())
    title = f"{result['benchmark']}: {after} against {before}"
    print_table(comparison_table(result["comparisons"], {}), title)
    for when, names in result["unpaired"].items():
        for name in names:
            print(f"not compared, only {when}: {name}", flush=True)


def _summary(metrics: dict[str, Any]) -> dict[str, int]:
    return {"retrievers": len(metrics["retrievers"])}


if __name__ == "__main__":
    main(EvaluateJobSettings, run)
