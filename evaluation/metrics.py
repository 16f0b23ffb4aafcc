"""Rankings in, metrics out, for many patients (all chunks) and for one (the chunks of one note).

Chunks rank by score, ties by chunk id descending, as trec_eval does. Measures come from ir_measures; only
CliniQ's NDCG, which has no equal there, is computed here.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import ir_measures
import numpy as np
from ir_measures import AP, RR, R, nDCG

from evaluation.benchmark import Benchmark, Judgement

# "map" is one list's average precision; its mean over lists is MAP.
MEASURES = {"mrr": RR, "ndcg@10": nDCG @ 10, "map": AP, "recall@100": R @ 100, "ndcg": nDCG}
CLINIQ_NDCG = "ndcg@10_cliniq"
FULL = ("mrr", "ndcg@10", CLINIQ_NDCG, "map", "recall@100")
BY_TYPE = ("mrr", "ndcg@10")
CLINIQ = ("mrr", "ndcg", "map")
CLINIQ_MIN_CHUNKS = 5


class Ranking(NamedTuple):
    """Where the relevant chunks of one ranked list stand."""

    query: int
    length: int
    ranks: np.ndarray
    """Of each relevant chunk, from 0, ascending; int (relevant,)."""
    rows: tuple[frozenset[str], ...]
    """For each relevant chunk the match type rows of the report that it counts towards."""

    def only(self, row: str) -> "Ranking":
        """The list with the relevant chunks that do not belong to `row` taken out."""
        kept = np.array([row in rows for rows in self.rows])
        ahead = np.cumsum(~kept)
        return Ranking(
            self.query,
            self.length - int(ahead[-1]),
            (self.ranks - ahead)[kept],
            tuple(rows for rows in self.rows if row in rows),
        )


def rank_chunks(benchmark: Benchmark, scores: np.ndarray) -> np.ndarray:
    """Chunk positions best first, int (queries, chunks), for scores (queries, chunks)."""
    by_id = np.array(sorted(range(len(benchmark.chunk_ids)), key=benchmark.chunk_ids.__getitem__, reverse=True))
    return by_id[np.argsort(-scores[:, by_id], axis=1, kind="stable")]


def multi_patient(benchmark: Benchmark, order: np.ndarray) -> Iterator[Ranking]:
    """One list for each judged query: all chunks, in `order` (queries, chunks)."""
    for query, judgements in benchmark.judgements_of_query.items():
        yield _ranking(query, judgements, order[query])


def single_patient(benchmark: Benchmark, order: np.ndarray) -> Iterator[Ranking]:
    """One list for each (query, note with a relevant chunk): the chunks of that note."""
    for query, judgements in benchmark.judgements_of_query.items():
        rank = np.empty(order.shape[1], dtype=np.int64)
        rank[order[query]] = np.arange(order.shape[1])
        by_note: dict[str, list[Judgement]] = {}
        for judgement in judgements:
            by_note.setdefault(benchmark.note_ids[judgement.chunk], []).append(judgement)
        for note, of_note in by_note.items():
            chunks = benchmark.chunks_of_note[note]
            yield _ranking(query, of_note, chunks[np.argsort(rank[chunks])])


def _ranking(query: int, judgements: Sequence[Judgement], order: np.ndarray) -> Ranking:
    by_chunk = {judgement.chunk: judgement for judgement in judgements}
    ranks = np.flatnonzero(np.isin(order, list(by_chunk)))
    rows = tuple(_rows_of(by_chunk[int(order[rank])]) for rank in ranks)
    return Ranking(query, len(order), ranks, rows)


def _rows_of(judgement: Judgement) -> frozenset[str]:
    rows = {judgement.match_type}
    if judgement.match_type != "string":
        rows.add("non-string")
    if judgement.evidence == "unseen":
        rows.add("unseen")
    return frozenset(rows)


def measure(rankings: Sequence[Ranking], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Values of each named measure, float (rankings,)."""
    values = {name: np.zeros(len(rankings)) for name in names}
    wanted = {MEASURES[name]: values[name] for name in names if name in MEASURES}
    qrels = {str(at): {str(rank): 1 for rank in ranking.ranks} for at, ranking in enumerate(rankings)}
    run = {str(at): _run_down_to(int(ranking.ranks[-1])) for at, ranking in enumerate(rankings)}
    for value in ir_measures.iter_calc(list(wanted), qrels, run):
        wanted[value.measure][int(value.query_id)] = value.value
    if CLINIQ_NDCG in values:
        values[CLINIQ_NDCG][:] = [cliniq_ndcg(ranking.ranks, 10) for ranking in rankings]
    return values


def _run_down_to(rank: int) -> dict[str, float]:
    # Nothing below the last relevant chunk changes any measure, so lists of like depth share one run.
    return _run(1 << rank.bit_length())


@lru_cache
def _run(length: int) -> dict[str, float]:
    return {str(rank): float(-rank) for rank in range(length)}


def cliniq_ndcg(ranks: np.ndarray, cutoff: int) -> float:
    """NDCG as CliniQ's code (arXiv 2502.06252) has it: the ideal list holds only the hits within the cut-off.

    So one hit at the top gives 1.0 whatever else was missed; over a whole list it equals the standard NDCG.
    """
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))
    hits = ranks[ranks < cutoff]
    return float(discounts[hits].sum() / discounts[: len(hits)].sum()) if len(hits) else 0.0


def evaluate_ranking(benchmark: Benchmark, order: np.ndarray) -> dict[str, Any]:
    """The metrics of one retriever, from chunk positions best first (queries, chunks), as metrics.json holds them.

    A match type row, `non-string` and `unseen` included, is there when the benchmark has such a pair.
    """
    multi, single = list(multi_patient(benchmark, order)), list(single_patient(benchmark, order))
    return {
        "multi_patient": _block(benchmark, multi),
        "single_patient": _block(benchmark, single),
        "single_patient_cliniq": _means(measure(cliniq_pairs(single), CLINIQ)),
    }


def cliniq_pairs(rankings: Iterable[Ranking]) -> list[Ranking]:
    """The (query, note) lists that CliniQ keeps: 5 chunks or more, and not all of them relevant."""
    return [r for r in rankings if r.length >= CLINIQ_MIN_CHUNKS and len(r.ranks) < r.length]


def count_ties(benchmark: Benchmark, scores: np.ndarray) -> dict[str, int]:
    """How many queries have their `first` or `any` relevant chunk tied with one that is not relevant."""
    first = any_ = 0
    for query, judgements in benchmark.judgements_of_query.items():
        relevant = [judgement.chunk for judgement in judgements]
        others = np.delete(scores[query], relevant)
        tied = np.isin(scores[query, relevant], others)
        first += bool(np.isin(scores[query, relevant].max(), others))
        any_ += bool(tied.any())
    return {"first": first, "any": any_}


def _block(benchmark: Benchmark, rankings: Sequence[Ranking]) -> dict[str, Any]:
    values = measure(rankings, FULL)
    match_rows = sorted(set().union(*(rows for ranking in rankings for rows in ranking.rows)))
    types = np.array([benchmark.query_types[ranking.query] for ranking in rankings])
    by_match_type = {
        row: _means(measure([r.only(row) for r in rankings if any(row in rows for rows in r.rows)], BY_TYPE))
        for row in match_rows
    }
    by_query_type = {
        str(name): _means({measure_: values[measure_][types == name] for measure_ in BY_TYPE})
        for name in np.unique(types)
    }
    return _means(values) | {"by_match_type": by_match_type, "by_query_type": by_query_type}


def _means(values: dict[str, np.ndarray]) -> dict[str, float | int | None]:
    """Mean of each measure and `n`; a mean over nothing is None."""
    n = len(next(iter(values.values())))
    return {name: float(of.mean()) if n else None for name, of in values.items()} | {"n": n}
