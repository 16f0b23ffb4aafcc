"""A store of random chunks, its shards, and the ranking that brute force gives."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
from tiny_store import release_of, write_store

from corpus.store import Store
from serving.fusion import DEFAULT_LEXICAL_WEIGHT, convex, letters_held
from serving.lexical import match_words
from serving.manifest import IndexKind
from serving.merging import merge
from serving.protocol import Filters
from serving.scope import Scope
from serving.shard import Candidates, Shard, ShardQuery

DIMENSION = 8
WORDS = [f"w{i:02}" for i in range(40)]
TYPES = ["discharge", "progress", "o'brien"]
SOURCES = ["icu", "ward"]
START = datetime(2024, 1, 1, tzinfo=UTC)
ALL = 10_000


@dataclass
class World:
    """Chunks and unit vectors of one version of the store, and shards that answer from it."""

    chunks: list[dict]
    vectors: np.ndarray
    store: lance.LanceDataset
    shards: list[Shard]

    @classmethod
    def of(cls, store: Store, fingerprint: str, shards: list[Shard]) -> "World":
        """The store as it is now."""
        rows = {row["chunk_id"]: row["vector"] for row in store.vectors(fingerprint).to_table().to_pylist()}
        chunks = store.chunks().to_table().to_pylist()
        vectors = np.array([rows[chunk["chunk_id"]] for chunk in chunks], np.float32).reshape(-1, DIMENSION)
        return cls(chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), store.chunks(), shards)

    def word_scores(self, text: str) -> dict[str, float]:
        """BM25 of every chunk that holds a word of `text`."""
        ids, scores = match_words(self.store, text, ALL)
        chunk_ids = self.store.to_table(columns=["chunk_id"], with_row_id=True)
        id_of = dict(zip(chunk_ids["_rowid"].to_pylist(), chunk_ids["chunk_id"].to_pylist(), strict=True))
        # Lance's index may still have rows that were removed before the table was compacted.
        scored = zip(ids.tolist(), scores.tolist(), strict=True)
        return {id_of[row]: score for row, score in scored if row in id_of}

    def brute_force(self, query: ShardQuery) -> list[tuple[float, str]]:
        """Every allowed chunk that can match, with its score, best first."""
        word_score = self.word_scores(query.text)
        allowed = [i for i, chunk in enumerate(self.chunks) if allows(query.filters, chunk, query.scope)]
        lexical = np.array([word_score.get(self.chunks[i]["chunk_id"], 0) for i in allowed], np.float32)
        dense = self.vectors[allowed] @ query.vector if query.vector is not None else np.zeros(len(allowed))
        best = [self.chunks[i]["text"] for i, score in zip(allowed, lexical, strict=True) if 0 < score == lexical.max()]
        coverage = letters_held(query.text, best)
        score = {"dense": dense, "lexical": lexical, "hybrid": convex(lexical, dense, coverage)}[query.mode]
        pairs = [(float(s), self.chunks[i]["chunk_id"]) for s, i in zip(score, allowed, strict=True)]
        return sorted((pair for pair in pairs if query.mode != "lexical" or pair[0] > 0), reverse=True)

    def search(self, query: ShardQuery, k: int) -> list[tuple[float, dict]]:
        answers = {number: shard.search([query])[0] for number, shard in enumerate(self.shards)}
        ranking = merge(answers, query.mode, DEFAULT_LEXICAL_WEIGHT)[:k]
        return [(each.score, self.shards[each.shard].fetch([[(each.row, each.version)]])[0][0]) for each in ranking]


def allows(filters: Filters, chunk: dict, scope: Scope | None = None) -> bool:
    time = chunk["note_time"] and chunk["note_time"].replace(tzinfo=UTC)
    return (
        (scope is None or chunk["patient_id"] in scope.patients)
        and (filters.patient_ids is None or chunk["patient_id"] in filters.patient_ids)
        and (filters.note_types is None or chunk["note_type"] in filters.note_types)
        and (filters.sources is None or chunk["source"] in filters.sources)
        and (filters.time_from is None or (time is not None and time >= filters.time_from))
        and (filters.time_to is None or (time is not None and time < filters.time_to))
    )


def rows_of(found: Candidates) -> list[tuple[int, int]]:
    """What `Shard.fetch` takes for them."""
    return list(zip(found.rows.tolist(), found.versions.tolist(), strict=True))


def random_notes(number: int, rng: np.random.Generator, big: int) -> list[dict]:
    """Notes of one chunk each; `big` of them are one patient's, the others those of sixty."""
    frequency = 1 / np.arange(1, len(WORDS) + 1)
    return [
        {
            "note_id": f"n{i}",
            "version": 1,
            "patient_id": "big" if i < big else f"p{rng.integers(60)}",
            "encounter_id": None,
            "note_type": TYPES[rng.integers(3)],
            "note_time": START + timedelta(days=int(rng.integers(100))) if rng.random() < 0.8 else None,
            "text": " ".join(rng.choice(WORDS, rng.integers(3, 20), p=frequency / frequency.sum())),
            "source": SOURCES[rng.integers(2)],
        }
        for i in range(number)
    ]


def build_world(
    path: Path, encoder: tuple[Path, str], notes: list[dict], vectors_of, shards: int, kind: IndexKind | None = None
) -> World:
    """Write a store of the notes, and a release of it."""
    folder, fingerprint = encoder
    write_store(path / "store", notes, fingerprint, vectors_of)
    release_of(path / "store", fingerprint, folder, path / "release", shards, kind)
    loaded = [Shard.load(path / "release", number) for number in range(shards)]
    return World.of(Store(path / "store"), fingerprint, loaded)
