"""Score retrievers on a benchmark: metrics.json, per_query.parquet, a TREC run for each, report.html."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, field_validator

from evaluation.benchmark import Benchmark
from evaluation.benchmarks import BenchmarkSettings, read_benchmark
from evaluation.figures import TOP, Figures, means, nested
from evaluation.figures import Path as FigurePath
from evaluation.fingerprints import benchmark_fingerprints, package_versions
from evaluation.report import COMPARED, write_report
from evaluation.retrievers import Bench, parse_retriever
from evaluation.runs import RunWriter, run_file_name
from evaluation.significance import Difference, PerQuery, differences, holm, intervals

SCORES_AT_ONCE = 10_000_000
"""Of (query, chunk) pairs; scores and ranking take about 200 MB a retriever."""
PER_QUERY_SCHEMA = pa.schema(
    [
        ("retriever", pa.dictionary(pa.int32(), pa.string())),
        ("figure", pa.dictionary(pa.int32(), pa.string())),
        ("query_id", pa.string()),
        ("sum", pa.float64()),
        ("count", pa.float64()),
    ]
)


class OutputSettings(BaseModel):
    """Where results go."""

    path: Path


class EvaluateSettings(BaseModel):
    """What to score on which benchmark."""

    benchmark: BenchmarkSettings
    retrievers: list[str] = Field(min_length=1)
    """As docs/evaluation.md lists them; the others are compared with the first."""
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
    folder: Path,
    bench: Callable[[Benchmark], Bench],
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the results into `folder`; the metrics are returned too.

    `bench` gives what retrievers need. `labels` maps retriever specs to the names that the report prints. Raises
    ValueError for a benchmark, an encoder or a run that cannot be read.
    """
    benchmark = read_benchmark(settings.benchmark.path, settings.benchmark.layout)
    tools = bench(benchmark)
    tools.progress(f"{benchmark.name}: {len(benchmark.query_ids)} queries, {len(benchmark.chunk_ids)} chunks")
    figures = _rank(tools, settings.retrievers, folder / "runs")
    per_query = {spec: of.per_query() for spec, of in figures.items()}
    baseline = per_query[settings.retrievers[0]]
    metrics: dict[str, Any] = {
        "benchmark": benchmark.name,
        "baseline": settings.retrievers[0],
        "retrievers": {spec: means(of) for spec, of in per_query.items()},
        "intervals": {spec: _intervals(of) for spec, of in per_query.items()},
        "comparisons": compare_figures({spec: (per_query[spec], baseline) for spec in settings.retrievers[1:]}),
        "ties": {spec: of.ties for spec, of in figures.items()},
        "unknown": {spec: of.unknown for spec, of in figures.items()},
        "lists_end_early": [spec for spec, of in figures.items() if benchmark.is_within_notes and not of.ranks_notes],
        "fingerprints": {
            **benchmark_fingerprints(benchmark),
            **{name: of for spec in settings.retrievers for name, of in tools.retriever(spec).fingerprints.items()},
            **package_versions(),
        },
        "settings": settings.model_dump(mode="json", exclude={"output"}),
    }
    _write_per_query(folder / "per_query.parquet", benchmark.query_ids, per_query)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    write_report(folder / "report.html", benchmark, metrics, figures, per_query, labels or {})
    for spec, of in metrics["retrievers"].items():
        tools.progress(f"{spec}: MRR {of['multi_patient']['mrr']:.4f}")
        if spec in metrics["lists_end_early"]:
            tools.progress(f"{spec}: its lists do not reach every chunk of the notes, so no figures for one patient")
        if strangers := figures[spec].unknown["documents"]:
            tools.progress(f"{spec}: {strangers:,} documents among the first {TOP} of a query are not in the benchmark")
    return metrics


def compare_figures(
    pairs: Mapping[str, tuple[Mapping[FigurePath, PerQuery], Mapping[FigurePath, PerQuery]]],
) -> dict[str, Any]:
    """The main figures of each pair, the later against the earlier; Holm's correction is over all of them together."""
    asked = [
        (name, path, ours[path], theirs[path])
        for name, (ours, theirs) in pairs.items()
        for path in COMPARED
        if path in ours and path in theirs and ours[path].counts.any()
    ]
    if not asked:
        return {}
    found = differences([ours for _, _, ours, _ in asked], [theirs for *_, theirs in asked])
    corrected = {name: holm([getattr(each, name) for each in found]) for name in Difference._fields[-2:]}
    tree: dict[FigurePath, Any] = {}
    for place, ((name, path, *_), difference) in enumerate(zip(asked, found, strict=True)):
        values = {**difference._asdict(), **{f"{of}_holm": values[place] for of, values in corrected.items()}}
        tree[name, "/".join(path)] = {key: value if value == value else None for key, value in values.items()}
    return nested(tree)


def _rank(tools: Bench, specs: Sequence[str], runs: Path) -> dict[str, Figures]:
    benchmark = tools.benchmark
    runs.mkdir(parents=True, exist_ok=True)
    figures = {spec: Figures(benchmark) for spec in specs}
    writers = {spec: RunWriter(runs / run_file_name(spec), benchmark) for spec in specs}
    retrievers = {}
    for spec in specs:
        tools.progress(f"{spec}: preparing")
        retrievers[spec] = tools.retriever(spec)
    n = len(benchmark.query_ids)
    step = max(1, min(256, SCORES_AT_ONCE // len(benchmark.chunk_ids)))
    for start in range(0, n, step):
        queries = range(start, min(start + step, n))
        for spec, retriever in retrievers.items():
            hits = dict(zip(queries, retriever.hits(queries), strict=True))
            figures[spec].add(hits)
            for query, of_query in hits.items():
                writers[spec].write(query, of_query)
        tools.count("queries ranked", len(queries), n)
    for writer in writers.values():
        writer.close()
    return figures


def _intervals(figures: Mapping[FigurePath, PerQuery]) -> dict[str, Any]:
    bounds = intervals(list(figures.values())).tolist()
    return nested({path: of if of[0] == of[0] else None for path, of in zip(figures, bounds, strict=True)})


def _write_per_query(path: Path, query_ids: Sequence[str], of: Mapping[str, Mapping[FigurePath, PerQuery]]) -> None:
    ids = np.array(query_ids, dtype=object)
    with pq.ParquetWriter(path, PER_QUERY_SCHEMA) as writer:
        for spec, figures in of.items():
            for figure, values in figures.items():
                there = values.counts > 0
                n = int(there.sum())
                columns = [[spec] * n, ["/".join(figure)] * n, ids[there], values.sums[there], values.counts[there]]
                arrays = list(map(pa.array, columns, PER_QUERY_SCHEMA.types))
                writer.write_table(pa.Table.from_arrays(arrays, schema=PER_QUERY_SCHEMA))
