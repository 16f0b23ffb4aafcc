"""Candidates that are hard to tell from a term's positives: chunks that rank high for it, terms of sibling concepts."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import bm25s
import numpy as np
import pyarrow as pa

from encoders.training.data import IDS, TrainingData
from encoders.training.phrases import phrases_of
from encoders.training.settings import HardNegativeSettings
from encoders.training.shared_encoding import SharedEncoding

TERMS_AT_ONCE = 512
CHUNKS_AT_ONCE = 4096
Scores = Callable[[np.ndarray], np.ndarray]
"""Term ids (t,) -> float (t, pool), higher is nearer."""


class Source(NamedTuple):
    """Where hard negatives come from."""

    kind: Literal["chunks", "terms"]
    near: pa.ListArray
    """Of each term id: rows of chunks, or ids of terms; may be empty."""


class HardNegatives:
    """Draws from sources in turn."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def draw(self, drawn: Sequence[np.ndarray], per_chunk: int, seed: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Rows of chunks and term ids, for the terms drawn for each chunk of a batch; int (rows,) and (terms,)."""
        found: dict[str, list[int]] = {"chunks": [], "terms": []}
        for turn in range(len(drawn) * per_chunk):
            generator = np.random.default_rng((*seed, turn))
            source = self._sources[turn % len(self._sources)]
            near = source.near[int(generator.choice(drawn[turn // per_chunk]))].values
            if len(near):
                found[source.kind].append(int(generator.choice(near.to_numpy())))
        return np.array(found["chunks"], np.int64), np.array(found["terms"], np.int64)


def pool_of(data: TrainingData, settings: HardNegativeSettings, seed: int) -> np.ndarray:
    """Rows of the chunks that are ranked, int (pool,)."""
    if len(data) <= settings.pool:
        return np.arange(len(data))
    return np.sort(np.random.default_rng((seed, settings.pool)).choice(len(data), settings.pool, replace=False))


def mine(data: TrainingData, terms: np.ndarray, pool: np.ndarray, scores: Scores, depth: int) -> Source:
    """For each of the terms the first `depth` chunks of the pool that it is not known to be true of."""
    holders = _holders(data, pool, terms)
    near: list[np.ndarray] = [np.empty(0, np.int64)] * data.n_terms
    for start in range(0, len(terms), TERMS_AT_ONCE):
        some = terms[start : start + TERMS_AT_ONCE]
        for term, of_term in zip(some, np.array(scores(some), np.float32), strict=True):
            of_term[holders(int(term))] = -np.inf
            best = np.argpartition(-of_term, min(depth, len(pool)) - 1)[:depth]
            near[term] = pool[best[of_term[best] > 0]]
    return Source("chunks", pa.array(near, type=IDS))


def by_words(data: TrainingData, pool: np.ndarray) -> Scores:
    """BM25."""
    index = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
    index.index(bm25s.tokenize(data.chunk_texts(pool), stopwords=None, show_progress=False), show_progress=False)
    nothing = np.zeros(len(pool), np.float32)

    def scores(terms: np.ndarray) -> np.ndarray:
        texts = [data.term(int(term)) for term in terms]
        tokens = bm25s.tokenize(texts, stopwords=None, show_progress=False, return_ids=False)
        return np.stack([index.get_scores(each) if each else nothing for each in tokens])

    return scores


def by_encoder(encoding: SharedEncoding, pool: np.ndarray) -> Scores:
    """Cosine, as the encoder is now."""
    starts = range(0, len(pool), CHUNKS_AT_ONCE)
    some = (encoding.chunks(pool[start : start + CHUNKS_AT_ONCE]) for start in starts)
    chunks = np.concatenate([encoding.vectors(texts) for texts in some])
    return lambda terms: encoding.vectors(encoding.terms(terms)) @ chunks.T


def _holders(data: TrainingData, pool: np.ndarray, terms: np.ndarray) -> Callable[[int], np.ndarray]:
    """Places in the pool of the chunks that one of the terms is known to be true of."""
    phrases = {data.term(term): term for term in terms.tolist() if data.is_phrase(term)}
    texts = data.chunk_texts(pool) if phrases else [""] * len(pool)
    in_text = [np.array([phrases[each] for each in phrases_of(text) & phrases.keys()], np.int32) for text in texts]
    of_term, of_concept, of_phrase = map(
        _inverted,
        ([data.chunk_terms(row) for row in pool], [data.chunk_concepts(row) for row in pool], in_text),
    )

    def holders(term: int) -> np.ndarray:
        return np.concatenate([of_term(term), of_phrase(term), *map(of_concept, data.term_concepts(term).tolist())])

    return holders


def _inverted(lists: Sequence[np.ndarray]) -> Callable[[int], np.ndarray]:
    values = np.concatenate([np.empty(0, np.int32), *lists])
    owners = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    return lambda value: owners[np.searchsorted(values, value) : np.searchsorted(values, value, side="right")]
