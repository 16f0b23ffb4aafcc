"""Score retrievers on a benchmark: metrics.json, TREC run files and a report; the main table is printed."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from evaluation.evaluate import EvaluateSettings, evaluate
from evaluation.report import terminal_table
from ray_jobs.job import main, require
from ray_jobs.steps import run_step


def run(settings: EvaluateSettings, labels: Mapping[str, str] | None = None) -> None:
    """`labels` maps retrievers to the names that the tables print."""
    require(benchmark__path=settings.benchmark.path)
    encoders = {encoder for name in settings.retrievers if (encoder := name.partition(":")[2])}
    run_step(
        "evaluate",
        settings.output.path,
        {"retrievers": settings.retrievers, "labels": dict(labels or {})},
        {"benchmark": settings.benchmark.path, **{encoder: encoder for encoder in encoders}},
        lambda step: _summary(evaluate(settings, step.folder, _progress, labels)),
    )
    metrics = json.loads((settings.output.path / "metrics.json").read_text())
    Console().print(terminal_table(metrics, labels))


def _progress(line: str) -> None:
    print(f"  {line}", flush=True)


def _summary(metrics: dict[str, Any]) -> dict[str, int]:
    return {"retrievers": len(metrics["retrievers"])}


if __name__ == "__main__":
    main(EvaluateSettings, run)
