"""The report: one table of retrievers for the terminal, and the whole of it as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

MAIN_COLUMNS = {
    "MRR": ("multi_patient", "mrr"),
    "NDCG@10": ("multi_patient", "ndcg@10"),
    "Recall@100": ("multi_patient", "recall@100"),
    "1-patient MRR": ("single_patient", "mrr"),
    "1-patient MAP": ("single_patient", "map"),
    "non-string MRR": ("multi_patient", "by_match_type", "non-string", "mrr"),
    "unseen MRR": ("multi_patient", "by_match_type", "unseen", "mrr"),
}
DEFINITIONS = """\
Multi-patient: all chunks are ranked for each query. 1-patient: the chunks of one note, for each query and note
with a relevant chunk. MRR has no cut-off. By match type, the relevant chunks of other types are taken out of the
ranking; `non-string` is every type but `string`; `unseen` is what training notes never held. `CliniQ NDCG@10`
builds its ideal from the hits within the first 10 only, so it is never below the standard one. Under CliniQ's
rules notes with fewer than 5 chunks and notes whose chunks are all relevant are skipped. Run files hold the first
1,000 chunks of each query."""

Rows = list[list[str]]


def terminal_table(metrics: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> Table:
    """The main table: a row for each retriever. `labels` maps specs to the names to print."""
    header, rows = _main(metrics, labels or {})
    # Without lines, and with headers broken before the cut-off, it fits a terminal of 80 columns.
    table = Table(title=f"{metrics['benchmark']}: retrievers compared", box=None, pad_edge=False, collapse_padding=True)
    for at, column in enumerate(header):
        table.add_column(column.replace("@", " @"), justify="right" if at else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(
    metrics: Mapping[str, Any],
    ties: Mapping[str, Mapping[str, int]],
    labels: Mapping[str, str] | None = None,
) -> str:
    """The whole report. `ties` holds the counts of `evaluation.metrics.count_ties` for each spec."""
    labels = labels or {}
    retrievers = metrics["retrievers"]
    names = {spec: labels.get(spec, spec) for spec in retrievers}
    parts = [f"# Retrieval on {metrics['benchmark']}", _markdown_table(*_main(metrics, labels)), DEFINITIONS]
    for task, title in (("multi_patient", "Multi-patient"), ("single_patient", "1-patient")):
        blocks = {spec: of[task] for spec, of in retrievers.items()}
        columns = {"mrr": "MRR", "ndcg@10": "NDCG@10"}
        whole = columns | {"ndcg@10_cliniq": "CliniQ NDCG@10", "map": "MAP", "recall@100": "Recall@100"}
        rows = [[names[spec], *_cells(block, [*whole, "n"])] for spec, block in blocks.items()]
        parts += [f"## {title}", _markdown_table(["retriever", *whole.values(), "n"], rows)]
        for key, what in (("by_match_type", "match type"), ("by_query_type", "query type")):
            rows = [
                [kind, names[spec], *_cells(of_kind, [*columns, "n"])]
                for kind in sorted({kind for block in blocks.values() for kind in block[key]})
                for spec, block in blocks.items()
                if (of_kind := block[key].get(kind))
            ]
            parts += [f"### By {what}", _markdown_table([what, "retriever", *columns.values(), "n"], rows)]
    rows = [
        [names[spec], *_cells(of["single_patient_cliniq"], ["mrr", "ndcg", "map", "n"])]
        for spec, of in retrievers.items()
    ]
    parts += [
        "## 1-patient, CliniQ's rules",
        _markdown_table(["retriever", "MRR", "NDCG", "MAP", "n"], rows),
        "## Ties",
        "Equal scores rank by chunk id, descending. Where a relevant chunk ties with one that is not, another tool "
        "may order them differently and its figures may differ.",
        _markdown_table(
            ["retriever", "queries whose first relevant chunk is tied", "queries with any relevant chunk tied"],
            [[names[spec], str(of["first"]), str(of["any"])] for spec, of in ties.items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _main(metrics: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[list[str], Rows]:
    """Header and rows of the main table; a column that no retriever has is left out."""
    retrievers = metrics["retrievers"]
    values = {
        title: {spec: _look_up(of, path) for spec, of in retrievers.items()} for title, path in MAIN_COLUMNS.items()
    }
    shown = {title: of for title, of in values.items() if any(value is not None for value in of.values())}
    rows = [[labels.get(spec, spec), *(_text(of[spec]) for of in shown.values())] for spec in retrievers]
    return ["retriever", *shown], rows


def _look_up(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key, {})
    return None if tree == {} else tree


def _cells(block: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [_text(block[name]) for name in names]


def _text(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _markdown_table(header: Sequence[str], rows: Rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])
