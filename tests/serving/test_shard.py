"""Shards and their merged ranking against brute force over the whole store."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from world import ALL, DIMENSION, SOURCES, START, TYPES, WORDS, World, allows, build_world, random_notes, rows_of

from serving.protocol import Filters
from serving.scope import Scope
from serving.shard import NARROW_ROWS, ShardQuery


@pytest.fixture(scope="module")
def world(tmp_path_factory, unused_encoder) -> World:
    """2,500 chunks; one patient has too many to be scanned, the other sixty some thirty each."""
    rng = np.random.default_rng(0)
    notes = random_notes(2500, rng, big=NARROW_ROWS + 100)
    vectors = rng.normal(size=(len(notes), DIMENSION))
    return build_world(tmp_path_factory.mktemp("world"), unused_encoder, notes, lambda texts: vectors, shards=3)


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


@quick
@given(filters, scopes, queries, vectors, st.sampled_from(["dense", "lexical", "hybrid"]), st.integers(1, 1000))
def test_the_ranking_is_brute_force_and_stays_in_scope(world, filters, scope, text, vector, mode, k):
    unit = None if mode == "lexical" else (vector / np.linalg.norm(vector)).astype(np.float32)
    query = ShardQuery(text, unit, mode, ALL if mode == "hybrid" else k, filters, scope=scope)
    found, expected = world.search(query, k), world.brute_force(query)
    score_of = {chunk_id: score for score, chunk_id in expected}
    assert all(allows(filters, content, scope) for _, content in found)
    # Equal scores may come in any order, so scores are compared by rank and chunks by their own score.
    np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected[:k]], rtol=1e-4, atol=1e-5)
    for score, content in found:
        assert score == pytest.approx(score_of[content["chunk_id"]], rel=1e-4, abs=1e-5)
    assert len({content["chunk_id"] for _, content in found}) == len(found)


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
