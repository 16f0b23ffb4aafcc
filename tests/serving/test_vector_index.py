"""The nearest rows: exact ones always, coarse ones nearly always, and never fewer than there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.coarse_lists import build_lists, lists_to_read
from serving.vector_index import CoarseIndex, ExactIndex


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def clustered(number, dimension=32, seed=0):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(40, dimension))
    return unit(centres[random.integers(40, size=number)] + 0.4 * random.normal(size=(number, dimension)))


def brute_force(vectors, query, depth, rows):
    rows = np.arange(len(vectors)) if rows is None else rows
    scores = vectors[rows].astype(np.float32) @ query
    return rows[np.argsort(-scores, kind="stable")[:depth]]


VECTORS = clustered(6000)
HALF = VECTORS.astype(np.float16)


@pytest.fixture(scope="module", params=["sq8", "rabitq", "pq4"])
def coarse(request):
    lists = build_lists(HALF, request.param)
    assert lists.nlist > 50
    return CoarseIndex(lists, HALF, lists_to_read(lists, HALF, clustered(256, seed=0)))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([None, 0.001, 0.03, 0.3, 1.0]))
def test_exact_is_brute_force(seed, depth, share):
    random = np.random.default_rng(seed)
    rows = None if share is None else np.flatnonzero(random.random(len(VECTORS)) < share)
    depth = min(depth, len(VECTORS) if rows is None else len(rows))
    queries = unit(random.normal(size=(3, VECTORS.shape[1])))
    if depth:
        for found, query in zip(ExactIndex(VECTORS).nearest(queries, depth, rows), queries, strict=True):
            expected = brute_force(VECTORS, query, depth, rows)
            np.testing.assert_allclose(VECTORS[found] @ query, VECTORS[expected] @ query, atol=1e-6)
            assert len({*found.tolist()}) == depth
            assert rows is None or np.isin(found, rows).all()


def test_equal_scores_come_in_the_order_of_rows():
    vectors = np.repeat(unit(np.eye(2)), 5, axis=0)
    (found,) = ExactIndex(vectors).nearest(vectors[:1], 3, np.arange(1, 10))
    assert found.tolist() == [1, 2, 3]


@pytest.mark.parametrize("share", [None, 0.5, 0.01])
def test_coarse_finds_nearly_all_and_ranks_them_exactly(coarse, monkeypatch, share):
    monkeypatch.setattr("serving.vector_index.SCANNED", 100)
    random = np.random.default_rng(1)
    rows = None if share is None else np.flatnonzero(random.random(len(VECTORS)) < share)
    queries = unit(VECTORS[random.integers(len(VECTORS), size=100)] + 0.05 * random.normal(size=(100, 32)))
    shares = []
    for found, query in zip(coarse.nearest(queries, 10, rows), queries, strict=True):
        scores = coarse.vectors[found].astype(np.float32) @ query
        assert (np.diff(scores) <= 0).all()
        assert rows is None or np.isin(found, rows).all()
        shares.append(np.isin(brute_force(VECTORS, query, 10, rows), found).mean())
    assert np.mean(shares) >= 0.95


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, len(HALF)))
def test_few_allowed_rows_are_scored_exactly(coarse, seed, depth, number):
    random = np.random.default_rng(seed)
    rows = np.sort(random.choice(len(HALF), number, replace=False))
    queries = unit(random.normal(size=(2, HALF.shape[1])))
    for found, query in zip(coarse.nearest(queries, min(depth, number), rows), queries, strict=True):
        expected = brute_force(HALF, query, depth, rows)
        scores = HALF[found].astype(np.float32) @ query
        np.testing.assert_allclose(scores, HALF[expected].astype(np.float32) @ query, atol=1e-6)
        assert np.isin(found, rows).all()
        assert len({*found.tolist()}) == len(expected)


@pytest.mark.parametrize("rows", [None, np.arange(0, 6000, 2), np.arange(7)])
def test_coarse_is_never_short(coarse, monkeypatch, rows):
    monkeypatch.setattr("serving.vector_index.SCANNED", 3)
    depth = 6000 if rows is None else len(rows)
    (found,) = coarse.nearest(VECTORS[:1], depth, rows)
    assert sorted(found.tolist()) == (list(range(6000)) if rows is None else rows.tolist())
