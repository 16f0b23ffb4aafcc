"""How sure a figure is: bootstrap intervals, and paired tests of the difference of two retrievers.

Queries are resampled, not lists: the notes of one query are not independent. A figure is a mean over lists, so it is
kept as each query's sum and number of values. Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993),
percentile intervals; Smucker, Allan, Carterette, "A Comparison of Statistical Significance Tests for Information
Retrieval Evaluation" (CIKM 2007), the randomisation test; Holm, Scand. J. Statist. 6 (1979).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 0
FEWEST_QUERIES = 6
"""With fewer, no outcome could have a p-value below 0.05 in the permutation test, nor is an interval worth anything."""
_AT_ONCE = 250


class PerQuery(NamedTuple):
    """The values of one figure."""

    sums: np.ndarray
    """Of each query's values, float (queries,)."""
    counts: np.ndarray
    """How many they are, float (queries,); 0 where the figure says nothing of a query."""

    def mean(self) -> float:
        """Over all values; nan where there are none."""
        return float(self.sums.sum() / self.counts.sum()) if self.counts.any() else float("nan")


class Difference(NamedTuple):
    """How much higher a figure is for one retriever than for another on the same queries."""

    mean: float
    low: float
    high: float
    """The bounds of its interval; nan for fewer queries than FEWEST_QUERIES."""
    p_bootstrap: float
    p_permutation: float
    """Both two-sided and never below 1 / (RESAMPLES + 1); nan for fewer queries than FEWEST_QUERIES."""


def intervals(figures: Sequence[PerQuery]) -> np.ndarray:
    """The bounds of each figure's interval at CONFIDENCE, float (figures, 2); nan for fewer than FEWEST_QUERIES."""
    bounds = _percentiles(_resampled_means(figures))
    bounds[~_enough(figures)] = np.nan
    return bounds


def differences(ours: Sequence[PerQuery], theirs: Sequence[PerQuery]) -> list[Difference]:
    """Of figures over the same queries, in pairs."""
    resampled = _resampled_means(ours) - _resampled_means(theirs)
    observed = np.array([a.mean() - b.mean() for a, b in zip(ours, theirs, strict=True)])
    # Of resamples moved to where the difference is zero: how many lie as far out as what was observed.
    enough = _enough(ours)
    centred = resampled - np.nanmean(np.where(enough, resampled, 0), axis=0)
    bounds = _percentiles(resampled)
    bounds[~enough] = np.nan
    p_bootstrap = np.where(enough, _share_as_far(centred, observed), np.nan)
    p_permutation = np.where(enough, _share_as_far(_with_signs_flipped(ours, theirs), observed), np.nan)
    rows = zip(observed, *bounds.T, p_bootstrap, p_permutation, strict=True)
    return [Difference(*map(float, row)) for row in rows]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for how many they are, in their order; nan stays nan and does not count."""
    order = sorted((p, at) for at, p in enumerate(p_values) if p == p)
    corrected, highest = [float("nan")] * len(p_values), 0.0
    for place, (p, at) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - place)))
        corrected[at] = highest
    return corrected


def _enough(figures: Sequence[PerQuery]) -> np.ndarray:
    """Whether each figure has values of at least FEWEST_QUERIES queries, bool (figures,)."""
    return np.array([(figure.counts > 0).sum() >= FEWEST_QUERIES for figure in figures])


def _resampled_means(figures: Sequence[PerQuery]) -> np.ndarray:
    """Of each figure in each resample of the queries that any figure has values of, float (RESAMPLES, figures)."""
    sums, counts = (np.stack(part, axis=1) for part in zip(*figures, strict=True))
    has_values = counts.any(axis=1)
    sums, counts = sums[has_values], counts[has_values]
    queries = max(1, len(sums))
    generator = np.random.default_rng(SEED)
    means = []
    for rows in _slices():
        drawn = generator.multinomial(queries, np.full(queries, 1 / queries), size=rows).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)


def _with_signs_flipped(ours: Sequence[PerQuery], theirs: Sequence[PerQuery]) -> np.ndarray:
    """Mean differences had each query's two values changed places by a coin's toss, float (RESAMPLES, figures)."""
    gaps = np.stack([a.sums - b.sums for a, b in zip(ours, theirs, strict=True)], axis=1)
    totals = np.array([figure.counts.sum() for figure in ours])
    generator = np.random.default_rng(SEED)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate(
            [generator.choice([-1.0, 1.0], size=(rows, len(gaps))) @ gaps / totals for rows in _slices()]
        )


def _share_as_far(resampled: np.ndarray, observed: np.ndarray) -> np.ndarray:
    # A little less than what was observed, so that rounding never makes an equal value a smaller one.
    far = (np.abs(resampled) >= np.abs(observed) - 1e-12).sum(axis=0)
    return (far + 1) / ((~np.isnan(resampled)).sum(axis=0) + 1)


def _percentiles(resampled: np.ndarray) -> np.ndarray:
    """(figures, 2); resamples that drew no query of a figure are left out."""
    tails = [100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2]
    bounds = [np.percentile(of[~np.isnan(of)], tails) if not np.isnan(of).all() else [np.nan] * 2 for of in resampled.T]
    return np.array(bounds)


def _slices() -> Iterator[int]:
    for start in range(0, RESAMPLES, _AT_ONCE):
        yield min(_AT_ONCE, RESAMPLES - start)
