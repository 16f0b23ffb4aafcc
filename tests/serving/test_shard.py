"""Shards and their merged ranking against brute force over the whole store."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_store import write_store

from serving.fusion import DEFAULT_LEXICAL_WEIGHT, convex, letters_held
from serving.lexical import match_words
from serving.manifest import read_manifest
from serving.merging import merge
from serving.protocol import Filters
from serving.release import build_release
from serving.shard import NARROW_ROWS, Shard, ShardQuery

WORDS = [f"w{i:02}" for i in range(40)]
TYPES = ["discharge", "progress", "o'brien"]
SOURCES = ["icu", "ward"]
START = datetime(2024, 1, 1, tzinfo=UTC)
ALL = 10_000


@dataclass
class World:
    chunks: list[dict]
    vectors: np.ndarray
    store: lance.LanceDataset
    shards: list[Shard]

    def word_scores(self, text: str) -> dict[str, float]:
        """BM25 of every chunk that holds a word of `text`."""
        ids, scores = match_words(self.store, text, ALL)
        chunk_ids = self.store.to_table(columns=["chunk_id"], with_row_id=True)
        id_of = dict(zip(chunk_ids["_rowid"].to_pylist(), chunk_ids["chunk_id"].to_pylist(), strict=True))
        return {id_of[row]: score for row, score in zip(ids.tolist(), scores.tolist(), strict=True)}

    def brute_force(self, query: ShardQuery) -> list[tuple[float, str]]:
        """Every allowed chunk that can match, with its score, best first."""
        word_score = self.word_scores(query.text)
        allowed = [i for i, chunk in enumerate(self.chunks) if allows(query.filters, chunk)]
        lexical = np.array([word_score.get(self.chunks[i]["chunk_id"], 0) for i in allowed], np.float32)
        dense = self.vectors[allowed] @ query.vector if query.vector is not None else np.zeros(len(allowed))
        best = [self.chunks[i]["text"] for i, score in zip(allowed, lexical, strict=True) if 0 < score == lexical.max()]
        coverage = letters_held(query.text, best)
        score = {"dense": dense, "lexical": lexical, "hybrid": convex(lexical, dense, coverage)}[query.mode]
        pairs = [(float(s), self.chunks[i]["chunk_id"]) for s, i in zip(score, allowed, strict=True)]
        return sorted((pair for pair in pairs if query.mode != "lexical" or pair[0] > 0), reverse=True)

    def search(self, query: ShardQuery, k: int) -> list[tuple[float, dict]]:
        answers = {number: shard.search([query])[0] for number, shard in enumerate(self.shards)}
        ranking = merge(answers, query.mode, k, DEFAULT_LEXICAL_WEIGHT)
        return [(each.score, self.shards[each.shard].fetch([[each.row]])[0][0]) for each in ranking]


def allows(filters: Filters, chunk: dict) -> bool:
    time = chunk["note_time"]
    return (
        (filters.patient_ids is None or chunk["patient_id"] in filters.patient_ids)
        and (filters.note_types is None or chunk["note_type"] in filters.note_types)
        and (filters.sources is None or chunk["source"] in filters.sources)
        and (filters.time_from is None or (time is not None and time >= filters.time_from))
        and (filters.time_to is None or (time is not None and time < filters.time_to))
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory, unused_encoder) -> World:
    """2,500 chunks; one patient has too many to be scanned, the other sixty some thirty each."""
    rng = np.random.default_rng(0)
    frequency = 1 / np.arange(1, len(WORDS) + 1)
    notes = [
        {
            "note_id": f"n{i}",
            "version": 1,
            "patient_id": "big" if i < NARROW_ROWS + 100 else f"p{rng.integers(60)}",
            "encounter_id": None,
            "note_type": TYPES[rng.integers(3)],
            "note_time": START + timedelta(days=int(rng.integers(100))) if rng.random() < 0.8 else None,
            "text": " ".join(rng.choice(WORDS, rng.integers(3, 20), p=frequency / frequency.sum())),
            "source": SOURCES[rng.integers(2)],
        }
        for i in range(2500)
    ]
    vectors = rng.normal(size=(len(notes), 8)).astype(np.float32)
    path: Path = tmp_path_factory.mktemp("world")
    folder, fingerprint = unused_encoder
    chunks = write_store(path / "store", notes, fingerprint, lambda texts: vectors)
    build_release(path / "store", fingerprint, folder, path / "release", shards=3)
    manifest = read_manifest(path / "release")
    store = lance.dataset(str(path / "store/chunks.lance"), version=manifest.chunks_version)
    shards = [Shard.load(path / "release", number) for number in range(3)]
    return World(chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), store, shards)


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
queries = st.lists(st.sampled_from([*WORDS, "unseen"]), min_size=1, max_size=3).map(" ".join)
vectors = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).normal(size=8))
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(filters, queries, vectors, st.sampled_from(["dense", "lexical", "hybrid"]), st.integers(1, 1000))
def test_the_ranking_is_brute_force_and_stays_in_scope(world, filters, text, vector, mode, k):
    unit = None if mode == "lexical" else (vector / np.linalg.norm(vector)).astype(np.float32)
    query = ShardQuery(text, unit, mode, ALL if mode == "hybrid" else k, filters)
    found, expected = world.search(query, k), world.brute_force(query)
    score_of = {chunk_id: score for score, chunk_id in expected}
    assert all(allows(filters, content) for _, content in found)
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
        chunk_ids = [content["chunk_id"] for content in shard.fetch([found.rows.tolist()])[0]]
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
