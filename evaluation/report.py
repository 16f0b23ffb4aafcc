"""The report of an evaluation: its main table, and report.html with tables, plots and queries to read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.benchmark import Benchmark, Judgement
from evaluation.figures import TOP, Figures
from evaluation.figures import Path as FigurePath
from evaluation.metrics import RECALL_CURVE
from evaluation.ranking import UNKNOWN, Hits
from evaluation.significance import PerQuery
from reporting import plots
from reporting.page import Passage, Plot, Section, Table, write_page

MAIN: dict[str, FigurePath] = {
    "MRR": ("multi_patient", "mrr"),
    "NDCG@10": ("multi_patient", "ndcg@10"),
    "NDCG@10 (CliniQ)": ("multi_patient", "ndcg@10_cliniq"),
    "MAP": ("multi_patient", "map"),
    "P@10": ("multi_patient", "precision@10"),
    "Recall@100": ("multi_patient", "recall@100"),
    "Recall@1000": ("multi_patient", "recall@1000"),
    "accuracy@1": ("multi_patient", "accuracy@1"),
    "accuracy@5": ("multi_patient", "accuracy@5"),
    "accuracy@10": ("multi_patient", "accuracy@10"),
    "1-patient MRR": ("single_patient_cliniq", "mrr"),
    "1-patient NDCG": ("single_patient_cliniq", "ndcg"),
    "1-patient MAP": ("single_patient_cliniq", "map"),
    "non-string MRR": ("multi_patient", "by_match_type", "non-string", "mrr"),
    "unseen MRR": ("multi_patient", "by_match_type", "unseen", "mrr"),
}
"""The figures of the main table."""
COMPARED = [path for path in MAIN.values() if not path[-1].endswith("_cliniq")]
"""Those whose differences are tested: a figure that is not to be believed earns no star."""
NAMES = {
    "mrr": "MRR",
    "ndcg@10": "NDCG@10",
    "ndcg@10_cliniq": "NDCG@10 as CliniQ has it",
    "ndcg": "NDCG",
    "map": "MAP",
    "precision@10": "P@10",
}
TASKS = {
    "multi_patient": "All patients",
    "single_patient": "One patient",
    "single_patient_cliniq": "One patient, CliniQ's rules",
}
ABOUT = {
    "multi_patient": "Every document is ranked for each query.",
    "single_patient": "The chunks of one note are ranked, for each query and note with a relevant chunk.",
    "single_patient_cliniq": "As above, without notes of fewer than 5 chunks and notes whose chunks are all relevant.",
}
SIGNIFICANT = 0.05
SHOWN_QUERIES = 20
PASSAGE_CHARACTERS = 700
READ_ME = """\
In brackets: the 95 % bootstrap interval over queries, where there are enough of them; n: the lists that a figure is the
mean of. A star marks a figure that differs from the first retriever's
with p below 0.05 in the permutation test, corrected by Holm over all figures compared. docs/evaluation.md explains each
figure."""
LISTS_END_EARLY = "Their lists do not reach every chunk of the notes, so that nobody can tell how they rank a note."
TIES = """\
Equal scores rank by document id, descending, as trec_eval has it. Documents that the benchmark does not hold keep their
places and push others down: compare such a retriever only with those that rank the same documents."""


def write_report(
    path: Path,
    benchmark: Benchmark,
    metrics: Mapping[str, Any],
    figures: Mapping[str, Figures],
    per_query: Mapping[str, Mapping[FigurePath, PerQuery]],
    labels: Mapping[str, str],
) -> None:
    """Write the page of one evaluation."""
    names = {spec: labels.get(spec, spec) for spec in figures}
    sections = [
        Section("Retrievers compared", [main_table(metrics, labels, with_intervals=True)], READ_ME),
        Section(
            "Differences", [comparison_table(metrics["comparisons"], labels)], f"Against {names[metrics['baseline']]}."
        ),
        Section("Plots", _plots(metrics, figures, per_query, names)),
        *_tasks(metrics, names),
        *_without_one_patient(metrics, names),
        *_queries(benchmark, metrics["baseline"], figures, per_query, names),
        Section("Ties and unknown documents", [_ties(metrics, names)], TIES),
        Section("To reproduce it", [_settings(metrics)]),
    ]
    judged = len(benchmark.judgements_of_query)
    lead = (
        f"{judged:,} of {len(benchmark.query_ids):,} queries have a relevant document; the others count for nothing. "
        f"{len(benchmark.chunk_ids):,} chunks. This page quotes them: keep it where the notes are."
    )
    write_page(path, f"Retrieval on {benchmark.name}", sections, lead)


def main_table(metrics: Mapping[str, Any], labels: Mapping[str, str], with_intervals: bool = False) -> Table:
    """A row for each retriever; a column that none has is left out. `labels` maps specs to the names to print."""
    retrievers = metrics["retrievers"]
    shown = {
        title: path for title, path in MAIN.items() if any(_at(of, path) is not None for of in retrievers.values())
    }
    rows = []
    for spec, of in retrievers.items():
        cells = [_number(_at(of, path)) for path in shown.values()]
        if with_intervals:
            marks = [_is_significant(metrics, spec, path) for path in shown.values()]
            bounds = [_interval(_at(metrics["intervals"][spec], path)) for path in shown.values()]
            cells = [f"{cell}{'*' * mark}{of}" for cell, mark, of in zip(cells, marks, bounds, strict=True)]
        rows.append([labels.get(spec, spec), *cells])
    if with_intervals:
        blocks = {path: [_at(of, path[:-1]) or {} for of in retrievers.values()] for path in shown.values()}
        most = {path: max(block.get("n", 0) for block in of) for path, of in blocks.items()}
        shown = {f"{title} (n = {most[path]:,})": path for title, path in shown.items()}
    return Table(["retriever", *shown], rows)


def comparison_table(comparisons: Mapping[str, Any], labels: Mapping[str, str]) -> Table:
    """A row for each figure compared."""
    titles = {"/".join(path): title for title, path in MAIN.items()}
    rows = [
        [
            labels.get(spec, spec),
            titles[figure],
            f"{of['mean']:+.4f}",
            bounds_of(of["low"], of["high"]),
            *(_number(of[name]) for name in ("p_bootstrap_holm", "p_permutation_holm")),
        ]
        for spec, figures in comparisons.items()
        for figure, of in figures.items()
    ]
    header = ["retriever", "figure", "difference", "95 % interval", "p bootstrap (Holm)", "p permutation (Holm)"]
    return Table(header, rows)


def bounds_of(low: float | None, high: float | None) -> str:
    """An interval of a difference; "-" where there is none."""
    return "-" if low is None or high is None or low != low else f"{low:+.4f} to {high:+.4f}"


def _plots(
    metrics: Mapping[str, Any],
    figures: Mapping[str, Figures],
    per_query: Mapping[str, Mapping[FigurePath, PerQuery]],
    names: Mapping[str, str],
) -> list[Plot]:
    curves = {
        names[spec]: [of["recall_curve"][measure] for measure in RECALL_CURVE]
        for spec, of in metrics["retrievers"].items()
    }
    cutoffs = [float(measure.partition("@")[2]) for measure in RECALL_CURVE]
    drawn = [
        Plot(
            plots.lines(curves, cutoffs, "k", "recall@k"),
            "Recall",
            "The share of a query's relevant documents among the first k, mean over queries.",
        )
    ]
    baseline = metrics["baseline"]
    path = MAIN["MRR"]
    gains = {
        names[spec]: (of[path].sums - per_query[baseline][path].sums)[of[path].counts > 0]
        for spec, of in per_query.items()
        if spec != baseline
    }
    if gains:
        drawn.append(
            Plot(
                plots.sorted_bars(gains, "queries, most improved first", "difference of reciprocal rank"),
                f"Query by query against {names[baseline]}",
                "Above zero the retriever puts the first relevant document higher up.",
            )
        )
    for spec, of in figures.items():
        relevant, other = np.array(of.top_scores, dtype=float).reshape(-1, 2).T
        drawn.append(
            Plot(
                plots.histograms({"best relevant": relevant, "best other": other}, "score", "queries"),
                f"Scores of {names[spec]}",
                "For each query the highest score of a relevant document and of any other: the less they overlap, the "
                "better a score alone tells what is relevant.",
            )
        )
    return drawn


def _without_one_patient(metrics: Mapping[str, Any], names: Mapping[str, str]) -> list[Section]:
    if not (left_out := [names[spec] for spec in metrics["lists_end_early"]]):
        return []
    rows = [[name] for name in left_out]
    return [Section("Without figures for one patient", [Table(["retriever"], rows)], LISTS_END_EARLY)]


def _tasks(metrics: Mapping[str, Any], names: Mapping[str, str]) -> list[Section]:
    sections = []
    for task, title in TASKS.items():
        blocks = {
            spec: _with_intervals(of[task], metrics["intervals"][spec][task])
            for spec, of in metrics["retrievers"].items()
            if task in of
        }
        if not blocks:
            continue
        whole = [key for key in next(iter(blocks.values())) if not key.startswith("by_")]
        tables = [
            Table(["retriever", *map(_name, whole)], [_row([names[spec]], of, whole) for spec, of in blocks.items()])
        ]
        for key, what in (("by_match_type", "match type"), ("by_query_type", "query type")):
            kinds = sorted({kind for of in blocks.values() for kind in of.get(key, {})})
            if kinds:
                columns = list(next(of[key][kinds[0]] for of in blocks.values() if kinds[0] in of.get(key, {})))
                rows = [
                    _row([kind, names[spec]], of[key][kind], columns)
                    for kind in kinds
                    for spec, of in blocks.items()
                    if kind in of.get(key, {})
                ]
                tables.append(Table([what, "retriever", *map(_name, columns)], rows, f"By {what}"))
        sections.append(Section(title, tables, ABOUT[task]))
    return sections


def _queries(
    benchmark: Benchmark,
    baseline: str,
    figures: Mapping[str, Figures],
    per_query: Mapping[str, Mapping[FigurePath, PerQuery]],
    names: Mapping[str, str],
) -> list[Section]:
    """Of the last retriever, which is the one that is worked on: its worst queries and its most improved ones."""
    spec = list(figures)[-1]
    path = MAIN["MRR"]
    ours, theirs = per_query[spec][path], per_query[baseline][path]
    judged = np.flatnonzero(ours.counts)
    worst = judged[np.argsort(ours.sums[judged], kind="stable")][:SHOWN_QUERIES]
    gains = (ours.sums - theirs.sums)[judged]
    improved = [int(query) for query in judged[np.argsort(-gains, kind="stable")][:SHOWN_QUERIES]]
    improved = [query for query in improved if ours.sums[query] > theirs.sums[query]]

    def shown(query: int) -> list[Passage]:
        ranks = [("MRR here", f"{ours.sums[query]:.4f}")]
        if spec != baseline:
            ranks.append((f"MRR of {names[baseline]}", f"{theirs.sums[query]:.4f}"))
        return _query(benchmark, int(query), figures[spec].best[int(query)], ranks)

    sections = [Section(f"Worst queries of {names[spec]}", [part for query in worst for part in shown(int(query))])]
    if spec != baseline:
        title = f"Queries most improved by {names[spec]}"
        sections.append(Section(title, [part for query in improved for part in shown(query)]))
    return sections


def _query(benchmark: Benchmark, query: int, best: Hits, ranks: Sequence[tuple[str, str]]) -> list[Passage]:
    relevant = benchmark.relevant(query)
    graded = {judgement.document: judgement.grade for judgement in benchmark.judgements_of_query[query]}
    kind = benchmark.query_types[query]
    parts = [
        Passage(
            f"{benchmark.query_ids[query]}: {_cut(benchmark.query_texts[query])}{f' ({kind})' if kind else ''}",
            (),
            [*ranks, ("relevant", f"{len(relevant):,} documents")],
        )
    ]
    for place, document in enumerate(best.documents.tolist(), 1):
        if document == UNKNOWN:
            continue
        how = relevant.get(document)
        if how is not None:
            says = f"relevant{_type_of(how)}"
        else:
            says = f"near, grade {graded[document]}" if document in graded else "not relevant"
        parts.append(_document(benchmark, query, document, f"rank {place}, {says}"))
    if not any(document in relevant for document in best.documents.tolist()):
        document, how = next(iter(relevant.items()))
        parts.append(_document(benchmark, query, document, f"relevant{_type_of(how)}, further down or not found"))
    return parts


def _type_of(judgement: Judgement) -> str:
    return f", {judgement.match_type}" if judgement.match_type else ""


def _document(benchmark: Benchmark, query: int, document: int, what: str) -> Passage:
    chunks = np.flatnonzero(benchmark.document_of_chunk == document)
    text = " · ".join(benchmark.chunk_texts[chunk] for chunk in chunks)
    text = _cut(text)
    found = re.search(re.escape(benchmark.query_texts[query]), text, re.IGNORECASE)
    pieces = [(text, False)]
    if found:
        pieces = [(text[: found.start()], False), (found[0], True), (text[found.end() :], False)]
    return Passage(f"{benchmark.document_ids[document]} · {what}", pieces)


def _cut(text: str) -> str:
    return f"{text[:PASSAGE_CHARACTERS]}…" if len(text) > PASSAGE_CHARACTERS else text


def _ties(metrics: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    header = [
        "retriever",
        "queries whose first relevant document is tied",
        "queries with any relevant document tied",
        f"unknown documents among the first {TOP}",
        "queries with some",
    ]
    rows = []
    for spec, ties in metrics["ties"].items():
        unknown = metrics["unknown"][spec]
        counts = (ties["first"], ties["any"], unknown["documents"], unknown["queries"])
        rows.append([names[spec], *(f"{count:,}" for count in counts)])
    return Table(header, rows)


def _settings(metrics: Mapping[str, Any]) -> Table:
    settings = metrics["settings"]
    rows = [["benchmark", f"{settings['benchmark']['path']} ({settings['benchmark']['layout']})"]]
    rows += [[f"retriever {place}", spec] for place, spec in enumerate(settings["retrievers"], 1)]
    rows += [[name, of] for name, of in metrics["fingerprints"].items()]
    return Table([], rows)


def _with_intervals(block: Mapping[str, Any], intervals: Mapping[str, Any]) -> dict[str, Any]:
    """The block's figures as text, each with its interval."""
    return {
        key: _with_intervals(value, intervals[key])
        if isinstance(value, Mapping)
        else _number(value) + _interval(intervals.get(key))
        for key, value in block.items()
    }


def _at(tree: Any, path: FigurePath) -> Any:
    for key in path:
        tree = (tree or {}).get(key)
    return tree


def _is_significant(metrics: Mapping[str, Any], spec: str, path: FigurePath) -> bool:
    of = metrics["comparisons"].get(spec, {}).get("/".join(path))
    return of is not None and of["p_permutation_holm"] is not None and of["p_permutation_holm"] < SIGNIFICANT


def _row(heads: Sequence[str], block: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return [*heads, *(block[column] for column in columns)]


def _name(measure: str) -> str:
    return NAMES.get(measure, measure)


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _interval(bounds: Sequence[float] | None) -> str:
    return f"\n[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
