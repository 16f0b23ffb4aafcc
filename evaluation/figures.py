"""All figures of one retriever on a benchmark, gathered query by query."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.benchmark import Benchmark
from evaluation.metrics import RECALL_CURVE, cliniq_pairs, measure
from evaluation.ranking import MISSED, UNKNOWN, Hits, Ranking, holds_notes, multi_patient, single_patient, tied
from evaluation.significance import PerQuery

Path = tuple[str, ...]
"""Where a figure stands in metrics.json, such as ("multi_patient", "by_match_type", "string", "mrr")."""

SINGLE = ("mrr", "ndcg@10", "ndcg@10_cliniq", "map", "recall@100")
CLINIQ = ("mrr", "ndcg", "map")
ONE_PATIENT = ("single_patient", "single_patient_cliniq")
SHOWN = 3
TOP = 10


class Figures:
    """What is known of a retriever's rankings; memory grows with the queries, not with what is ranked."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._benchmark = benchmark
        self._sums: dict[Path, np.ndarray] = defaultdict(lambda: np.zeros(len(benchmark.query_ids)))
        self._counts: dict[Path, np.ndarray] = defaultdict(lambda: np.zeros(len(benchmark.query_ids)))
        self.ties = {"first": 0, "any": 0}
        self.ranks_notes = benchmark.is_within_notes
        """False where lists end before the last chunk of a note: then there are no figures for one patient."""
        self.unknown = {"documents": 0, "queries": 0}
        """Documents among the first TOP that the benchmark does not hold, and queries that have some there."""
        self.best: dict[int, Hits] = {}
        """The first SHOWN hits of each judged query."""
        self.top_scores: list[tuple[float, float]] = []
        """Of each judged query: the best score of a relevant document and of another, nan where none was retrieved."""

    def add(self, hits: Mapping[int, Hits]) -> None:
        """Take in the hits of some queries."""
        judged = {query: of for query, of in hits.items() if query in self._benchmark.judgements_of_query}
        multi = [multi_patient(self._benchmark, query, of) for query, of in judged.items()]
        self._block(("multi_patient",), multi, self._benchmark.measures)
        self._means(("recall_curve",), multi, RECALL_CURVE)
        self.ranks_notes = self.ranks_notes and all(
            holds_notes(self._benchmark, query, of) for query, of in judged.items()
        )
        if self.ranks_notes:
            single = [each for query, of in judged.items() for each in single_patient(self._benchmark, query, of)]
            self._block(("single_patient",), single, SINGLE)
            self._block(("single_patient_cliniq",), cliniq_pairs(single), CLINIQ)
        for (query, of), ranking in zip(judged.items(), multi, strict=True):
            first, any_ = tied(self._benchmark, query, of)
            self.ties = {"first": self.ties["first"] + first, "any": self.ties["any"] + any_}
            unknown = int((of.documents[:TOP] == UNKNOWN).sum())
            self.unknown["documents"] += unknown
            self.unknown["queries"] += unknown > 0
            self.best[query] = Hits(of.documents[:SHOWN].copy(), of.scores[:SHOWN].copy())
            self.top_scores.append(_top_scores(of, ranking, self._benchmark.relevant_from))

    def per_query(self) -> dict[Path, PerQuery]:
        """Every figure by its path."""
        return {
            path: PerQuery(sums, self._counts[path])
            for path, sums in self._sums.items()
            if self.ranks_notes or path[0] not in ONE_PATIENT
        }

    def _block(self, path: Path, rankings: Sequence[Ranking], names: Sequence[str]) -> None:
        self._means(path, rankings, names)
        for row in sorted(set().union(*(rows for ranking in rankings for rows in ranking.rows))):
            of_row = [each.only(row) for each in rankings if any(row in rows for rows in each.rows)]
            self._means((*path, "by_match_type", row), of_row, names)
        types = self._benchmark.query_types
        for name in sorted({types[ranking.query] for ranking in rankings} - {""}):
            of_type = [each for each in rankings if types[each.query] == name]
            self._means((*path, "by_query_type", name), of_type, names)

    def _means(self, path: Path, rankings: Sequence[Ranking], names: Sequence[str]) -> None:
        queries = np.array([ranking.query for ranking in rankings], dtype=np.int64)
        values = measure(rankings, names, self._benchmark.relevant_from) if rankings else {}
        for name in names:
            np.add.at(self._sums[*path, name], queries, values.get(name, np.empty(0)))
            np.add.at(self._counts[*path, name], queries, 1.0)


def nested(figures: Mapping[Path, Any]) -> dict[str, Any]:
    """A tree of what stands at the paths."""
    tree: dict[str, Any] = {}
    for path, value in figures.items():
        place = tree
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return tree


def means(figures: Mapping[Path, PerQuery]) -> dict[str, Any]:
    """Means, and beside them `n`, how many values they are of; a mean over nothing is None."""
    tree: dict[Path, Any] = {}
    for path, of in figures.items():
        tree[path] = of.mean() if of.counts.any() else None
        tree.pop((*path[:-1], "n"), None)  # it stands last
        tree[*path[:-1], "n"] = int(of.counts.sum())
    return nested(tree)


def _top_scores(hits: Hits, ranking: Ranking, relevant_from: int) -> tuple[float, float]:
    is_relevant = np.zeros(len(hits.documents), dtype=bool)
    is_relevant[ranking.ranks[(ranking.ranks != MISSED) & (ranking.grades >= relevant_from)]] = True
    best, other = (
        float(of[0]) if len(of) else float("nan") for of in (hits.scores[is_relevant], hits.scores[~is_relevant])
    )
    return best, other
