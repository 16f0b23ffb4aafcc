"""Shards and their merged ranking against brute force over the whole store."""

from datetime import timedelta
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import ALL, DIMENSION, SOURCES, START, TYPES, WORDS, World, allows, build_world, random_notes, rows_of

from serving.manifest import IndexKind
from serving.protocol import Filters
from serving.scope import Scope
from serving.shard import NARROW_ROWS, ShardQuery


@pytest.fixture(scope="module")
def worlds(tmp_path_factory, unused_encoder) -> dict[str, World]:
    """By kind of index, 2,500 chunks; one patient has too many to be scanned, the other sixty some thirty each."""
    rng = np.random.default_rng(0)
    notes = random_notes(2500, rng, big=NARROW_ROWS + 100)
    vectors = rng.normal(size=(len(notes), DIMENSION))
    return {
        kind: build_world(tmp_path_factory.mktemp(kind), unused_encoder, notes, lambda texts: vectors, 3, kind)
        for kind in get_args(IndexKind)
    }


@pytest.fixture(scope="module")
def world(worlds) -> World:
    return worlds["exact"]


times = st.none() | st.integers(-1, 101).map(lambda day: START + timedelta(days=day))
filters = st.builds(
    Filters,
    patient_ids=st.none()
    | st.lists(st.sampled_from(["big", "nobody", *(f"p{i}" for i in range(60))]), min_size=1, max_size=30),
    note_types=st.none() | st.lists(st.sampled_from([*TYPES, "unknown"]), min_size=1, max_size=2),
    sources=st.none() | st.lists(st.sampled_from(SOURCES), min_size=1, max_size=2),
    time_from=times,
    time_to=times,
)
patients = st.frozensets(st.sampled_from(["big", "nobody", *(f"p{i}" for i in range(60))]))
scopes = st.none() | patients.map(lambda each: Scope(",".join(sorted(each)), each))
queries = st.lists(st.sampled_from([*WORDS, "unseen"]), min_size=1, max_size=3).map(" ".join)
vectors = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=8))
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_any_search(world, kind, filters, scope, text, vector, mode, k):
    """No hit that is not allowed, none missing where there are k; the exact ranking where the index is exact."""
    unit = None if mode == "lexical" else (vector / np.linalg.norm(vector)).astype(np.float32)
    query = ShardQuery(text, unit, mode, ALL if mode == "hybrid" else k, filters, scope=scope)
    found, expected = world.search(query, k), world.brute_force(query)
    score_of = {chunk_id: score for score, chunk_id in expected}
    assert all(allows(filters, content, scope) for _, content in found)
    assert len({content["chunk_id"] for _, content in found}) == len(found) == min(k, len(expected))
    for score, content in found:
        assert score == pytest.approx(score_of[content["chunk_id"]], rel=2e-3, abs=2e-3)
    assert [score for score, _ in found] == sorted((score for score, _ in found), reverse=True)
    if kind == "exact" or mode != "dense":
        # Equal scores may come in any order, so scores are compared by rank and chunks by their own score.
        np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected[:k]], rtol=2e-3, atol=2e-3)


kinds = st.sampled_from(get_args(IndexKind))
modes = st.sampled_from(["dense", "lexical", "hybrid"])
searches = given(kinds, filters, scopes, queries, vectors, modes, st.integers(1, 1000))


@settings(quick, max_examples=2000)
@searches
def test_any_search_stays_in_scope_and_is_never_short(worlds, kind, filters, scope, text, vector, mode, k):
    check_any_search(worlds[kind], kind, filters, scope, text, vector, mode, k)


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
@settings(quick, max_examples=100_000)
@searches
def test_any_of_very_many_searches(worlds, kind, filters, scope, text, vector, mode, k):
    check_any_search(worlds[kind], kind, filters, scope, text, vector, mode, k)


@quick
@given(filters, queries, vectors, st.integers(1, 300))
def test_hybrid_of_limited_depth_scores_every_candidate_fully_and_is_never_short(world, filters, text, vector, k):
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    query = ShardQuery(text, unit, "hybrid", max(2 * k, 20), filters)
    assert len(world.search(query, k)) == min(k, len(world.brute_force(query)))
    word_score = world.word_scores(text)
    for shard in world.shards:
        found = shard.search([query])[0]
        chunk_ids = [content["chunk_id"] for content in shard.fetch([rows_of(found)])[0]]
        expected = [word_score.get(each, 0.0) for each in chunk_ids]
        np.testing.assert_allclose(found.lexical, expected, rtol=1e-5)


@quick
@given(st.lists(st.tuples(filters, vectors, st.integers(1, 50)), min_size=2, max_size=5))
def test_queries_of_one_batch_do_not_touch_each_other(world, asked):
    batch = [
        ShardQuery("w01", (vector / np.linalg.norm(vector)).astype(np.float32), "dense", depth, each)
        for each, vector, depth in asked
    ]
    for shard in world.shards:
        for query, together in zip(batch, shard.search(batch), strict=True):
            alone = shard.search([query])[0]
            assert together.rows.tolist() == alone.rows.tolist()
            np.testing.assert_allclose(together.dense, alone.dense, rtol=1e-4, atol=1e-6)


def test_known_patients_are_counted_apart_from_matches(world):
    query = ShardQuery("unseen", None, "lexical", 10, Filters(patient_ids=["big", "p1", "nobody"]))
    answers = [shard.search([query])[0] for shard in world.shards]
    assert sum(answer.patients_known for answer in answers) == 2
    assert sum(len(answer.rows) for answer in answers) == 0
