"""The candidates of all shards become one ranking, of chunks or of what they belong to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.fusion import convex
from serving.protocol import Mode
from serving.shard import Candidates


class Ranked(NamedTuple):
    """A row of a shard in a version of its note, its final and raw scores, its ranks from 1 by these (0: none)."""

    shard: int
    row: int
    version: int
    score: float
    lexical: float
    dense: float
    lexical_rank: int
    dense_rank: int
    group: str
    """Its note or patient; empty where chunks are ranked."""


def merge(
    answers: Mapping[int, Candidates], mode: Mode, lexical_weight: float, depths: Sequence[int] = ()
) -> list[Ranked]:
    """The candidates of the shards that answered (shard number to candidates), best first.

    Word scores are normalised over all of them together, so a hit's score does not depend on its shard. Equal scores
    keep the order of shards and rows. In hybrid mode `depths` are those that pages before this one were read to, and
    last that of these candidates: the first half of each depth's hits stays where these pages had it, whatever better
    ones a greater depth finds.
    """
    if not answers:
        return []
    shards = np.concatenate([np.full(len(found.rows), shard) for shard, found in answers.items()])
    rows = np.concatenate([found.rows for found in answers.values()])
    versions = np.concatenate([found.versions for found in answers.values()])
    lexical = np.concatenate([found.lexical for found in answers.values()])
    dense = np.concatenate([found.dense for found in answers.values()])
    groups = [group for found in answers.values() for group in found.groups or [""] * len(found.rows)]
    match mode:
        case "dense":
            score = dense
        case "lexical":
            score = lexical
        case "hybrid":
            of_shards = [(found.lexical.max(initial=0), found.coverage) for found in answers.values()]
            score = convex(lexical, dense, max(of_shards)[1], lexical_weight)
    best = np.lexsort((rows, shards, -score))
    if mode == "hybrid" and len(depths) > 1:
        best = _in_steps(best, np.concatenate([_found_at(found) for found in answers.values()]), depths)
    dense_ranks = np.zeros(len(rows), np.int64) if mode == "lexical" else _ranks(dense)
    lexical_ranks = np.where(lexical > 0, _ranks(lexical), 0)
    columns = (shards, rows, versions, score, lexical, dense, lexical_ranks, dense_ranks)
    ranked = zip(*(column[best].tolist() for column in columns), (groups[each] for each in best), strict=True)
    return [Ranked(*each) for each in ranked]


def group(ranking: Sequence[Ranked]) -> list[list[Ranked]]:
    """The rows of each group, best first, the groups by their best row; a row without a group is one of its own."""
    groups: dict[object, list[Ranked]] = {}
    for number, each in enumerate(ranking):
        groups.setdefault(each.group or number, []).append(each)
    return list(groups.values())


def _found_at(found: Candidates) -> NDArray[np.int64]:
    """The least depth of a search that has each row among a shard's candidates."""
    by_words = np.where(found.lexical > 0, _ranks(found.lexical), len(found.rows))
    return np.minimum(_ranks(found.dense), by_words)


def _in_steps(best: NDArray[np.int64], found_at: NDArray[np.int64], depths: Sequence[int]) -> NDArray[np.int64]:
    """The order `best` of rows, those first that the searches of lesser depths had among their first half."""
    for depth in reversed(depths[:-1]):
        early = np.flatnonzero(found_at[best] <= depth)[: depth // 2]
        best = np.concatenate([best[early], np.delete(best, early)])
    return best


def _ranks(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """From 1, the highest first."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks
