"""The candidates of all shards become one ranking."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from serving.fusion import convex
from serving.protocol import Mode
from serving.shard import Candidates


class Ranked(NamedTuple):
    """A row of a shard with its final and its raw scores."""

    shard: int
    row: int
    score: float
    lexical: float
    dense: float


def merge(answers: Mapping[int, Candidates], mode: Mode, k: int, lexical_weight: float) -> list[Ranked]:
    """The best `k` candidates over the shards that answered (shard number to candidates), best first.

    Word scores are normalised over all of them together, so a hit's score does not depend on its shard. Equal scores
    keep the order of shards and rows.
    """
    if not answers:
        return []
    shards = np.concatenate([np.full(len(found.rows), shard) for shard, found in answers.items()])
    rows = np.concatenate([found.rows for found in answers.values()])
    lexical = np.concatenate([found.lexical for found in answers.values()])
    dense = np.concatenate([found.dense for found in answers.values()])
    match mode:
        case "dense":
            score = dense
        case "lexical":
            score = lexical
        case "hybrid":
            of_shards = [(found.lexical.max(initial=0), found.coverage) for found in answers.values()]
            score = convex(lexical, dense, max(of_shards)[1], lexical_weight)
    best = np.lexsort((rows, shards, -score))[:k]
    columns = (shards[best], rows[best], score[best], lexical[best], dense[best])
    return [Ranked(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]
