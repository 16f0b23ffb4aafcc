"""Pages of a hybrid search, of candidates that are read deeper the further down a page lies."""

import numpy as np
import pytest

from serving.merging import merge
from serving.shard import Candidates

ROWS, SHARDS = 3000, 2
DEPTHS = [20, 80, 320, 1280]


def scores(seed):
    """Of every row of every shard: half have no word of the query; the two scores know nothing of each other."""
    random = np.random.default_rng(seed)
    lexical = np.where(random.random((SHARDS, ROWS)) < 0.5, 0, random.random((SHARDS, ROWS)))
    return lexical.astype(np.float32), random.random((SHARDS, ROWS)).astype(np.float32)


def read(lexical, dense, depth):
    """What the shards answer at this depth."""
    answers = {}
    for shard in range(SHARDS):
        words, vectors = lexical[shard], dense[shard]
        by_words = np.argsort(-words, kind="stable")[:depth]
        rows = np.union1d(np.argsort(-vectors, kind="stable")[:depth], by_words[words[by_words] > 0])
        fixed = {"groups": None, "is_all": False, "patients_known": 0, "version": 1}
        answers[shard] = Candidates(rows, np.ones_like(rows), words[rows], vectors[rows], coverage=1.0, **fixed)
    return answers


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [7, 30])
def test_pages_have_no_gap_and_no_repeat_whatever_their_size(seed, k):
    lexical, dense = scores(seed)

    def page(offset, k):
        enough = next(place for place, depth in enumerate(DEPTHS, 1) if depth >= 2 * (offset + k))
        depths = DEPTHS[:enough]
        found = merge(read(lexical, dense, depths[-1]), "hybrid", 0.5, depths)
        return [(each.shard, each.row) for each in found[offset : offset + k]]

    whole = page(0, 600)
    assert len(set(whole)) == 600
    assert [hit for offset in range(0, 600, k) for hit in page(offset, min(k, 600 - offset))] == whole
