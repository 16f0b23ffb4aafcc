"""Score retrievers on a benchmark: metrics.json, a TREC run for each retriever, and report.md."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from evaluation.benchmark import BenchmarkSettings, read_benchmark
from evaluation.metrics import count_ties, evaluate_ranking, rank_chunks
from evaluation.report import markdown
from evaluation.retrievers import Scores, parse_retriever
from evaluation.runs import run_file_name, write_run


class OutputSettings(BaseModel):
    """Where results go."""

    path: Path


class EvaluateSettings(BaseModel):
    """What to score on which benchmark."""

    benchmark: BenchmarkSettings
    retrievers: list[str] = Field(min_length=1)
    """Each `bm25`, `dense:<encoder>` or `hybrid:<encoder>`; an encoder is a folder or `bundled`."""
    output: OutputSettings

    @field_validator("retrievers")
    @classmethod
    def _known_and_distinct(cls, specs: list[str]) -> list[str]:
        for spec in specs:
            parse_retriever(spec)
            if specs.count(spec) > 1:
                raise ValueError(f"retriever {spec!r} is named more than once")
        return specs


def evaluate(
    settings: EvaluateSettings,
    output_folder: Path,
    progress: Callable[[str], None],
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write metrics.json, runs/*.run and report.md into `output_folder`; the metrics are returned too.

    `progress` is told what goes on, without clinical text. `labels` maps retriever specs to the names that the
    report prints. Raises ValueError for a benchmark or an encoder that cannot be read.
    """
    benchmark = read_benchmark(settings.benchmark.path)
    progress(f"{benchmark.name}: {len(benchmark.query_ids)} queries, {len(benchmark.chunk_ids)} chunks")
    scores = Scores(benchmark, progress)
    runs = output_folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    retrievers, ties = {}, {}
    for spec in settings.retrievers:
        progress(f"{spec}: scoring")
        matrix = scores.of(parse_retriever(spec))
        order = rank_chunks(benchmark, matrix)
        retrievers[spec] = evaluate_ranking(benchmark, order)
        ties[spec] = count_ties(benchmark, matrix)
        write_run(runs / run_file_name(spec), benchmark, order, matrix, tag=Path(run_file_name(spec)).stem)
        progress(f"{spec}: MRR {retrievers[spec]['multi_patient']['mrr']:.4f}")
    metrics = {"benchmark": benchmark.name, "retrievers": retrievers}
    (output_folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    (output_folder / "report.md").write_text(markdown(metrics, ties, labels), encoding="utf-8")
    return metrics
