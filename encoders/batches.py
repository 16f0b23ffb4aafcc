"""Which chunks and terms make a batch: a pure function of (seed, step), the same on every worker.

Each worker knows the whole batch and takes its slice of it, so what is learned does not depend on how many there are.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from encoders.training_data import TrainingData


class Batch(NamedTuple):
    """B chunks and the T distinct terms drawn for them.

    `positives` (B, T) float32 says how often a term was drawn for a chunk; `negatives` (B, T) bool is true where a
    term is NOT true of a chunk: none of its terms, and naming no concept that holds for it.
    """

    idx: list[str]
    chunk_tokens: list[list[int]]
    term_tokens: list[list[int]]
    positives: np.ndarray
    negatives: np.ndarray


def steps_per_epoch(records: int, batch_size: int) -> int:
    """Whole batches in an epoch; a rest is left to another epoch's order. Raises ValueError where there is none."""
    if records < batch_size:
        raise ValueError(f"{records} training records do not fill one batch of batch_size={batch_size}")
    return records // batch_size


def make_batch(data: TrainingData, step: int, *, batch_size: int, num_pos: int, seed: int) -> Batch:
    """The global batch of a step."""
    epoch, offset = divmod(step, steps_per_epoch(len(data), batch_size))
    rows = _order(len(data), seed, epoch)[offset * batch_size : (offset + 1) * batch_size]
    drawn = [_draw(data.chunk_terms(row), num_pos, (seed, epoch, int(row))) for row in rows]
    terms = np.unique(np.concatenate(drawn))
    positives = np.zeros((len(rows), len(terms)), dtype=np.float32)
    for i, draws in enumerate(drawn):
        np.add.at(positives[i], np.searchsorted(terms, draws), 1)
    return Batch(
        idx=[data.idx(row) for row in rows],
        chunk_tokens=[data.chunk_tokens(row) for row in rows],
        term_tokens=[data.term_tokens(term) for term in terms],
        positives=positives,
        negatives=~_true_of(data, rows, terms),
    )


@lru_cache(maxsize=2)
def _order(records: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(records)


def _draw(terms: np.ndarray, num_pos: int, seed: tuple[int, ...]) -> np.ndarray:
    """`num_pos` terms without replacement from the list, repeated until it is long enough (DR.EHR)."""
    repeated = np.tile(terms, -(-num_pos // len(terms)))
    return np.random.default_rng(seed).choice(repeated, num_pos, replace=False)


def _true_of(data: TrainingData, rows: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """(B, T) bool: the term stands in the chunk's full list or names a concept that holds for the chunk."""
    concepts = [data.term_concepts(term) for term in terms]
    owner = np.repeat(np.arange(len(terms)), [len(ids) for ids in concepts])
    flat = np.concatenate(concepts)
    result = np.empty((len(rows), len(terms)), dtype=bool)
    for i, row in enumerate(rows):
        result[i] = np.isin(terms, data.chunk_terms(row))
        result[i, owner[np.isin(flat, data.chunk_concepts(row))]] = True
    return result
