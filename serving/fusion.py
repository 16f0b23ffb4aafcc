"""Hybrid fusion: one function per method, on score arrays; the router and offline evaluation share it."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEFAULT_LEXICAL_WEIGHT = 0.3
RRF_K = 60
_WORD = re.compile(r"\w+")


def convex(
    lexical: NDArray[np.floating],
    dense: NDArray[np.floating],
    coverage: NDArray[np.floating] | float,
    weight: float = DEFAULT_LEXICAL_WEIGHT,
) -> NDArray[np.float32]:
    """`weight * (coverage * lexical / max(lexical))^2 + (1 - weight) * dense`, the maximum taken per query.

    Both arrays have shape `(..., candidates)`, one row per query: non-negative lexical scores (0 = no word
    matched) and cosines. `coverage` `(...)` says how much of each query its best lexical match holds (see
    `letters_held`). A query that matches no word keeps lexical zeros. The candidates must hold the query's best
    lexical match over all shards, or the normalisation differs from shard to shard.

    Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (arXiv 2210.11934),
    with the maximum as the only bound because BM25's theoretical minimum is 0. Coverage and square are ours: the best
    match need not be a whole one, and half a match is less than half of one (docs/decisions.md has what both bring).
    """
    if lexical.shape != dense.shape:
        raise ValueError(f"lexical scores {lexical.shape} and dense scores {dense.shape} differ in shape")
    if not 0 <= weight <= 1:
        raise ValueError(f"the lexical weight must lie in [0, 1], not {weight}")
    best = lexical.max(axis=-1, keepdims=True, initial=0)
    normalised = np.divide(lexical, best, out=np.zeros(lexical.shape, np.float32), where=best > 0)
    normalised *= np.asarray(coverage, np.float32)[..., None]
    return (weight * normalised**2 + (1 - weight) * dense).astype(np.float32)


def letters_held(query: str, matches: Sequence[str]) -> float:
    """The share of a query's letters in words that one of the texts `matches` holds, in the one that holds most.

    Letters and not words, because long words say more; it stands for the score of a whole match, which would need how
    often each word occurs in the whole store.
    """
    words = _WORD.findall(query.casefold())
    letters = sum(map(len, words))
    held = (frozenset(_WORD.findall(text.casefold())) for text in matches)
    return max((sum(len(word) for word in words if word in each) for each in held), default=0) / max(1, letters)


def reciprocal_rank(lexical: NDArray[np.floating], dense: NDArray[np.floating], k: int = RRF_K) -> NDArray[np.float32]:
    """`1 / (k + rank)` summed over both, ranks from 1; equal scores share the better rank.

    Arrays as `convex` takes them; a candidate that matches no word has no lexical rank. Source: Cormack, Clarke,
    Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual rank learning methods" (SIGIR 2009).
    """
    fused = 1 / (k + _ranks(dense)) + np.where(lexical > 0, 1 / (k + _ranks(lexical)), 0)
    return fused.astype(np.float32)


def _ranks(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    """From 1, highest score first: one more than how many are higher."""
    rows = scores.reshape(-1, scores.shape[-1])
    higher = [len(row) - np.searchsorted(np.sort(row), row, side="right") for row in rows]
    return np.array(higher, dtype=np.float64).reshape(scores.shape) + 1
