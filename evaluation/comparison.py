"""Two evaluations of one benchmark side by side: what changed between them, and how sure that is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from evaluation.evaluate import compare_figures
from evaluation.figures import Path as FigurePath
from evaluation.fingerprints import BENCHMARK_FINGERPRINTS
from evaluation.report import MAIN, SHOWN_QUERIES, bounds_of, comparison_table
from evaluation.significance import PerQuery, differences
from reporting import plots
from reporting.page import Plot, Section, Table, write_page

MRR = MAIN["MRR"]
BY_TYPE = """\
MRR over all patients by match type and query type. These differences are many and not tested: take one whose interval
holds no zero as a question."""
INPUTS = "What the two evaluations read, and with which packages; a star marks what is not the same."

Figures = Mapping[FigurePath, PerQuery]


def compare(before: Path, after: Path, folder: Path) -> dict[str, Any]:
    """Write comparison.json and report.html of two folders that `evaluate` wrote; the comparison is returned too.

    Retrievers of one name are compared, and where each folder has just one other, these are too; the rest is listed as
    unpaired. Raises ValueError where a folder is not an evaluation, the benchmarks differ or nothing can be compared.
    """
    first, second = read_evaluation(before), read_evaluation(after)
    for what in BENCHMARK_FINGERPRINTS:
        if first["fingerprints"][what] != second["fingerprints"][what]:
            raise ValueError(f"compare: {before} and {after} are of different benchmarks: their {what} differ")
    pairs, unpaired = _pairs(list(first["figures"]), list(second["figures"]))
    if not pairs:
        raise ValueError(f"compare: no retriever stands in both {before} and {after}")
    figures = {name: (second["figures"][new], first["figures"][old]) for name, (old, new) in pairs.items()}
    result = {
        "benchmark": first["benchmark"],
        "before": str(before),
        "after": str(after),
        "comparisons": compare_figures(figures),
        "unpaired": unpaired,
        "fingerprints": {"before": first["fingerprints"], "after": second["fingerprints"]},
    }
    (folder / "comparison.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    gains = {
        name: (ours[MRR].sums - theirs[MRR].sums)[ours[MRR].counts > 0] for name, (ours, theirs) in figures.items()
    }
    drawn = Plot(
        plots.sorted_bars(gains, "queries, most improved first", "difference of reciprocal rank"),
        "Query by query",
        "Above zero the later evaluation has the first relevant document higher up.",
    )
    left_out = [f"Only {when}: {', '.join(names)}." for when, names in unpaired.items() if names]
    sections = [
        Section("Differences", [comparison_table(result["comparisons"], {})], " ".join(left_out)),
        Section("Plots", [drawn]),
        Section("By type", [_by_type(figures)], BY_TYPE),
        *(_queries(name, first["queries"], *of) for name, of in figures.items()),
        Section("What was compared", [_inputs(first, second)], INPUTS),
    ]
    write_page(folder / "report.html", f"{first['benchmark']}: {after} against {before}", sections)
    return result


def _pairs(old: list[str], new: list[str]) -> tuple[dict[str, tuple[str, str]], dict[str, list[str]]]:
    pairs = {spec: (spec, spec) for spec in new if spec in old}
    unpaired = {"before": [spec for spec in old if spec not in new], "after": [spec for spec in new if spec not in old]}
    if len(unpaired["before"]) == len(unpaired["after"]) == 1:
        (was,), (now,) = unpaired.values()
        pairs[f"{was} -> {now}"] = was, now
        unpaired = {"before": [], "after": []}
    return pairs, unpaired


def _by_type(figures: Mapping[str, tuple[Figures, Figures]]) -> Table:
    rows = []
    for name, (ours, theirs) in figures.items():
        paths = sorted(path for path in ours if len(path) > len(MRR) and path in theirs)
        if not paths:
            continue
        found = differences([ours[path] for path in paths], [theirs[path] for path in paths])
        for path, of in zip(paths, found, strict=True):
            bounds = bounds_of(of.low, of.high)
            means = [f"{side[path].mean():.4f}" for side in (theirs, ours)]
            rows.append([name, path[-2], f"{ours[path].counts.sum():,.0f}", *means, f"{of.mean:+.4f}", bounds])
    return Table(["retriever", "type", "n", "before", "after", "difference", "95 % interval"], rows)


def _queries(name: str, ids: list[str], ours: Figures, theirs: Figures) -> Section:
    gain = ours[MRR].sums - theirs[MRR].sums
    order = np.argsort(-gain, kind="stable")
    ends = {"Most improved": order[:SHOWN_QUERIES], "Most worsened": order[::-1][:SHOWN_QUERIES]}
    tables = []
    for title, queries in ends.items():
        rows = [
            [ids[query], f"{theirs[MRR].sums[query]:.4f}", f"{ours[MRR].sums[query]:.4f}"]
            for query in queries
            if (gain[query] > 0) == (title == "Most improved") and gain[query]
        ]
        if rows:
            tables.append(Table(["query", "MRR before", "MRR after"], rows, title))
    return Section(f"Queries of {name}", tables)


def _inputs(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    before, after = ({**each["fingerprints"], "retrievers": ", ".join(each["retrievers"])} for each in (first, second))
    rows = []
    for what in dict.fromkeys([*before, *after]):
        was, now = before.get(what, "-"), after.get(what, "-")
        rows.append([what if was == now else f"{what} *", was, now])
    return Table(["", "before", "after"], rows)


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The metrics of an evaluation, its queries and the main figures of each of them by retriever.

    Raises ValueError where the folder is none.
    """
    for name in ("metrics.json", "per_query.parquet"):
        if not (folder / name).is_file():
            raise ValueError(f"compare: {folder}: not the output of an evaluation, no {name}")
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    rows = pq.read_table(folder / "per_query.parquet").to_pylist()
    queries = sorted({row["query_id"] for row in rows})
    at = {query: place for place, query in enumerate(queries)}
    figures: dict[str, dict[FigurePath, PerQuery]] = {}
    for row in rows:
        path = tuple(row["figure"].split("/"))
        if path in MAIN.values() or (path[0], path[-1]) == MRR:
            of = figures.setdefault(row["retriever"], {}).setdefault(
                path, PerQuery(np.zeros(len(queries)), np.zeros(len(queries)))
            )
            of.sums[at[row["query_id"]]], of.counts[at[row["query_id"]]] = row["sum"], row["count"]
    return {**metrics, "figures": figures, "queries": queries}
