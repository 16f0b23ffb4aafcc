"""Measures over ranked lists. They come from ir_measures; only CliniQ's NDCG, which has no equal there, is ours.

A measure that knows no grades counts documents from the benchmark's `relevant_from` on; NDCG takes grades as gains.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import ir_measures
import numpy as np
from ir_measures import AP, RR, P, R, Success, nDCG

from evaluation.ranking import MISSED, Ranking

CLINIQ_NDCG = "ndcg@10_cliniq"
RECALL_CURVE = tuple(f"recall@{k}" for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
# "map" is one list's average precision; its mean over lists is MAP.
_OF_GRADES: dict[str, Any] = {"ndcg@10": nDCG @ 10, "ndcg": nDCG}
_OF_RELEVANT: dict[str, Any] = {"mrr": RR, "map": AP, "precision@10": P @ 10}
_OF_RELEVANT |= {f"accuracy@{k}": Success @ k for k in (1, 5, 10)}
_OF_RELEVANT |= {name: R @ int(name.partition("@")[2]) for name in RECALL_CURVE}
MEASURES = (*_OF_GRADES, CLINIQ_NDCG, *_OF_RELEVANT)
CLINIQ_MIN_CHUNKS = 5


def measure(rankings: Sequence[Ranking], names: Sequence[str], relevant_from: int = 1) -> dict[str, np.ndarray]:
    """Values of each named measure, float (rankings,)."""
    values = {name: np.zeros(len(rankings)) for name in names}
    wanted = {_OF_GRADES[name]: values[name] for name in names if name in _OF_GRADES}
    wanted |= {_OF_RELEVANT[name](rel=relevant_from): values[name] for name in names if name in _OF_RELEVANT}
    qrels = {str(at): _qrels(ranking) for at, ranking in enumerate(rankings)}
    run = {str(at): _run_down_to(int(ranking.ranks.max())) for at, ranking in enumerate(rankings)}
    for value in ir_measures.iter_calc(list(wanted), qrels, run):
        wanted[value.measure][int(value.query_id)] = value.value
    if CLINIQ_NDCG in values:
        values[CLINIQ_NDCG][:] = [cliniq_ndcg(ranking.ranks, 10) for ranking in rankings]
    return values


def _qrels(ranking: Ranking) -> dict[str, int]:
    ids = (f"missed {at}" if rank == MISSED else str(rank) for at, rank in enumerate(ranking.ranks))
    return dict(zip(ids, ranking.grades.tolist(), strict=True))


def _run_down_to(rank: int) -> dict[str, float]:
    # Nothing below the last relevant document changes any measure, so lists of like depth share one run.
    return _run(1 << max(rank, 0).bit_length())


@lru_cache
def _run(length: int) -> dict[str, float]:
    return {str(rank): float(-rank) for rank in range(length)}


def cliniq_ndcg(ranks: np.ndarray, cutoff: int) -> float:
    """NDCG as CliniQ's code (arXiv 2502.06252) has it, without grades: the ideal holds the hits in the cut-off only.

    So one hit at the top gives 1.0 whatever else was missed; over a whole list it equals the standard NDCG.
    """
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))
    hits = ranks[(ranks != MISSED) & (ranks < cutoff)]
    return float(discounts[hits].sum() / discounts[: len(hits)].sum()) if len(hits) else 0.0


def cliniq_pairs(rankings: Iterable[Ranking]) -> list[Ranking]:
    """The (query, note) lists that CliniQ keeps: 5 chunks or more, and not all of them relevant.

    So each still has a chunk that is not relevant once only one match type's are left, which CliniQ's code checks too.
    """
    return [r for r in rankings if r.length >= CLINIQ_MIN_CHUNKS and len(r.ranks) < r.length]
