"""Two evaluations of one benchmark side by side: what changed between them, and how sure that is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from evaluation.evaluate import compare_figures
from evaluation.figures import Path as FigurePath
from evaluation.fingerprints import BENCHMARK_FINGERPRINTS
from evaluation.report import MAIN, comparison_table
from evaluation.significance import PerQuery
from reporting import plots
from reporting.page import Plot, Section, write_page


def compare(before: Path, after: Path, folder: Path) -> dict[str, Any]:
    """Write comparison.json and report.html of two folders that `evaluate` wrote; the comparison is returned too.

    Retrievers of one name are compared; where each folder has just one, these are. Raises ValueError where a folder is
    not an evaluation, the benchmarks differ or there is nothing to compare.
    """
    first, second = _read(before), _read(after)
    for what in BENCHMARK_FINGERPRINTS:
        if first["fingerprints"][what] != second["fingerprints"][what]:
            raise ValueError(f"compare: {before} and {after} are of different benchmarks: their {what} differ")
    pairs = {spec: (spec, spec) for spec in second["figures"] if spec in first["figures"]}
    if not pairs and len(first["figures"]) == len(second["figures"]) == 1:
        (old,), (new,) = first["figures"], second["figures"]
        pairs = {f"{old} -> {new}": (old, new)}
    if not pairs:
        raise ValueError(f"compare: no retriever stands in both {before} and {after}")
    figures = {name: (second["figures"][new], first["figures"][old]) for name, (old, new) in pairs.items()}
    found, mrr = compare_figures(figures), MAIN["MRR"]
    gains = {
        name: (ours[mrr].sums - theirs[mrr].sums)[ours[mrr].counts > 0] for name, (ours, theirs) in figures.items()
    }
    result = {"benchmark": first["benchmark"], "before": str(before), "after": str(after), "comparisons": found}
    (folder / "comparison.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    drawn = Plot(
        plots.sorted_bars(gains, "queries, most improved first", "difference of reciprocal rank"),
        "Query by query",
        "Above zero the later evaluation has the first relevant document higher up.",
    )
    sections = [Section("Differences", [comparison_table(found, {})]), Section("Plots", [drawn])]
    write_page(folder / "report.html", f"{first['benchmark']}: {after} against {before}", sections)
    return result


def _read(folder: Path) -> dict[str, Any]:
    for name in ("metrics.json", "per_query.parquet"):
        if not (folder / name).is_file():
            raise ValueError(f"compare: {folder}: not the output of an evaluation, no {name}")
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    wanted = ["/".join(path) for path in MAIN.values()]
    rows = pq.read_table(folder / "per_query.parquet", filters=[("figure", "in", wanted)])
    queries = sorted(set(rows["query_id"].to_pylist()))
    at = {query: place for place, query in enumerate(queries)}
    figures: dict[str, dict[FigurePath, PerQuery]] = {}
    for row in rows.to_pylist():
        of = figures.setdefault(row["retriever"], {}).setdefault(
            tuple(row["figure"].split("/")), PerQuery(np.zeros(len(queries)), np.zeros(len(queries)))
        )
        of.sums[at[row["query_id"]]], of.counts[at[row["query_id"]]] = row["sum"], row["count"]
    return {**metrics, "figures": figures}
