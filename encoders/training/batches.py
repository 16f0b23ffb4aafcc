"""Which chunks and terms make a batch: a pure function of (seed, step), the same on every worker.

Each worker knows the whole batch and takes its share of it, so what is learned does not depend on how many there are.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from encoders.losses import LOSSES
from encoders.training.data import PHRASE, PROVENANCES, TrainingData
from encoders.training.hard_negatives import HardNegatives
from encoders.training.pairs import Pairs
from encoders.training.phrases import phrases_of
from encoders.training.refused import RefusedError
from encoders.training.settings import TrainingSettings


class Batch(NamedTuple):
    """B chunks with H hard negatives behind them, and the T distinct terms drawn for them or added as negatives."""

    idx: list[str]
    """Of the B chunks."""
    rows: np.ndarray
    """Rows of all chunks in the training data, int (B + H,)."""
    terms: np.ndarray
    """Ids of the terms, ascending, int (T,)."""
    pairs: Pairs
    """(B + H, T)."""


def steps_per_epoch(records: int, batch_size: int) -> int:
    """Whole batches in an epoch; a rest is left to another epoch's order. Raises RefusedError where there is none."""
    if records < batch_size:
        raise RefusedError(f"{records} training records do not fill one batch of batch_size={batch_size}")
    return records // batch_size


def all_steps(data: TrainingData, settings: TrainingSettings) -> int:
    """How many steps a run has. Raises RefusedError where a batch cannot be filled."""
    of_epochs = settings.epochs * steps_per_epoch(len(data), settings.batch_size)
    return min(of_epochs, settings.max_steps or of_epochs)


def make_batch(data: TrainingData, step: int, settings: TrainingSettings, hard: HardNegatives | None = None) -> Batch:
    """The global batch of a step."""
    size = settings.batch_size
    rows, drawn = _drawn(data, step, settings)
    terms = np.unique(np.concatenate(drawn))
    if hard and settings.hard_negatives:
        more_rows, more_terms = hard.draw(drawn, settings.hard_negatives.per_chunk, (settings.seed, step))
        terms = np.unique(np.concatenate([terms, more_terms]))
        rows = np.concatenate([rows, np.setdiff1d(more_rows, rows)])
    return Batch([data.idx(row) for row in rows[:size]], rows, terms, _pairs(data, rows, terms, drawn, settings))


def terms_of_steps(data: TrainingData, steps: range, settings: TrainingSettings) -> np.ndarray:
    """Ids of the distinct terms that are drawn in some steps, ascending, int (terms,); of all in an epoch or more."""
    if len(steps) >= steps_per_epoch(len(data), settings.batch_size):
        return np.arange(data.n_terms)
    return np.unique(np.concatenate([drawn for step in steps for drawn in _drawn(data, step, settings)[1]]))


def _drawn(data: TrainingData, step: int, settings: TrainingSettings) -> tuple[np.ndarray, list[np.ndarray]]:
    """The rows of a step's chunks, int (B,), and the ids of the terms drawn for each."""
    size, seed = settings.batch_size, settings.seed
    epoch, offset = divmod(step, steps_per_epoch(len(data), size))
    rows = _order(len(data), seed, epoch)[offset * size : (offset + 1) * size]
    return rows, [_draw(data, row, settings, (seed, epoch, int(row))) for row in rows]


def _pairs(
    data: TrainingData, rows: np.ndarray, terms: np.ndarray, drawn: Sequence[np.ndarray], settings: TrainingSettings
) -> Pairs:
    shape = len(rows), len(terms)
    at = [(np.full(len(draws), i), np.searchsorted(terms, draws)) for i, draws in enumerate(drawn)]
    owners, columns = (np.concatenate(part) for part in zip(*at, strict=True))
    draws = csr_array((np.ones(len(owners), np.float32), (owners, columns)), shape=shape)  # the same pair twice adds up
    draws.sum_duplicates()
    copies = np.asarray(draws.sum(axis=0), np.float32).ravel() if LOSSES[settings.loss].counts_copies else None
    if settings.false_negative_mask:
        excluded = _true_of(data, rows, terms)
    else:
        excluded = csr_array(shape, dtype=bool) if copies is not None else draws.astype(bool)
    return Pairs(draws, excluded, copies)


@lru_cache(maxsize=2)
def _order(records: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(records)


def _draw(data: TrainingData, row: int, settings: TrainingSettings, seed: tuple[int, ...]) -> np.ndarray:
    """Ids of `num_pos` terms of the record, then all its phrases.

    Terms are drawn without replacement from the list, repeated until it is long enough (DR.EHR); where provenances have
    weights, with replacement and as likely as they weigh.
    """
    terms, provenance = data.chunk_terms(row), data.chunk_provenance(row)
    is_phrase = provenance == PHRASE
    listed, generator = terms[~is_phrase], np.random.default_rng(seed)
    weights = np.array([settings.provenance_weights.get(name, 1.0) for name in PROVENANCES])[provenance[~is_phrase]]
    if settings.provenance_weights and weights.sum():
        drawn = generator.choice(listed, settings.num_pos, p=weights / weights.sum())
    else:
        drawn = generator.choice(np.tile(listed, -(-settings.num_pos // len(listed))), settings.num_pos, replace=False)
    return np.concatenate([drawn, terms[is_phrase]])


def _true_of(data: TrainingData, rows: np.ndarray, terms: np.ndarray) -> csr_array:
    """(rows, terms) bool: the term is in the chunk's full list, names a concept that holds for it, or is its phrase."""
    listed = _membership([np.flatnonzero(np.isin(terms, data.chunk_terms(row))) for row in rows], len(terms))
    of_chunks, of_terms = [data.chunk_concepts(row) for row in rows], [data.term_concepts(term) for term in terms]
    known = np.unique(np.concatenate([np.empty(0, np.int32), *of_terms]))
    holds = _membership([np.flatnonzero(np.isin(known, concepts)) for concepts in of_chunks], len(known))
    names = _membership([np.searchsorted(known, concepts) for concepts in of_terms], len(known))
    return ((holds @ names.T + listed + _phrases_in(data, rows, terms)) > 0).tocsr()


def _phrases_in(data: TrainingData, rows: np.ndarray, terms: np.ndarray) -> csr_array:
    """(rows, terms), 1 where a phrase stands in the chunk's text."""
    columns = {data.term(term): column for column, term in enumerate(terms) if data.is_phrase(term)}
    texts = data.chunk_texts(rows) if columns else [""] * len(rows)
    found = [[columns[phrase] for phrase in phrases_of(text) & columns.keys()] for text in texts]
    return _membership([np.array(each, np.int64) for each in found], len(terms))


def _membership(members: Sequence[np.ndarray], columns: int) -> csr_array:
    """One row for each list of columns, int32, 1 where it holds the column."""
    owners = np.repeat(np.arange(len(members)), [len(each) for each in members])
    flat = np.concatenate([np.empty(0, np.int64), *members]).astype(np.int64)
    return csr_array((np.ones(len(flat), np.int32), (owners, flat)), shape=(len(members), columns))
