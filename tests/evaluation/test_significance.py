import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.significance import PerQuery, differences, holm, intervals


def of(values):
    return PerQuery(np.array(values, float), np.ones(len(values)))


def test_a_mean_weighs_every_list_and_queries_without_any_do_not_count():
    assert PerQuery(np.array([3.0, 0, 1]), np.array([3.0, 0, 1])).mean() == 1
    assert np.isnan(PerQuery(np.zeros(2), np.zeros(2)).mean())


def test_intervals_agree_with_scipy():
    values = np.random.default_rng(1).random(200)
    (low, high), (nan, _) = intervals([of(values), PerQuery(np.zeros(200), np.zeros(200))])
    expected = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=2).confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.005)
    assert np.isnan(nan)


def test_an_interval_resamples_queries_not_their_notes():
    # Ten notes of each query are alike: ten times the lists tell no more than the queries do.
    values = np.random.default_rng(1).random(50)
    once, ten = intervals([of(values), PerQuery(10 * values, np.full(50, 10.0))])
    assert once == pytest.approx(ten)


def test_queries_that_no_figure_speaks_of_widen_no_interval():
    values, silent = np.random.default_rng(1).random(50), np.zeros(950)
    among_others = PerQuery(np.append(values, silent), np.append(np.ones(50), silent))
    assert intervals([among_others]).tolist() == intervals([of(values)]).tolist()


def test_fewer_than_six_queries_have_no_interval():
    assert np.isnan(intervals([of([1, 1, 1, 1, 1])])).all()
    assert not np.isnan(intervals([of([1, 1, 1, 1, 1, 1])])).any()
    (few,) = differences([of([1, 1, 1, 1, 1])], [of([0, 0, 0, 0, 1])])
    assert few.mean == 0.8
    assert np.isnan([few.low, few.high, few.p_bootstrap, few.p_permutation]).all()


def test_differences_agree_with_scipy():
    generator = np.random.default_rng(3)
    theirs = generator.random(60)
    ours = theirs + generator.normal(0.03, 0.1, 60)
    (found,) = differences([of(ours)], [of(theirs)])
    expected = stats.permutation_test(
        (ours, theirs), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples", vectorized=True, rng=4
    )
    assert found.mean == pytest.approx((ours - theirs).mean())
    assert found.low < found.mean < found.high
    assert found.p_permutation == pytest.approx(expected.pvalue, abs=0.02)
    assert found.p_bootstrap == pytest.approx(expected.pvalue, abs=0.03)


def test_equal_retrievers_do_not_differ():
    (same,) = differences([of([0.5, 1, 0] * 2)], [of([0.5, 1, 0] * 2)])
    assert same[:3] == (0, 0, 0)
    assert same.p_bootstrap == same.p_permutation == 1


def some(values, queries):
    counts = np.zeros(queries)
    counts[: len(values)] = 1
    return PerQuery(np.concatenate([values, np.zeros(queries - len(values))]), counts)


def test_a_figure_of_few_queries_among_many_is_tested_on_resamples_that_drew_it():
    # About 1 in 400 resamples of 100 queries draws none of the six.
    (same,) = differences([some([0.5] * 6, 100)], [some([0.5] * 6, 100)])
    assert same.p_bootstrap == same.p_permutation == 1


def test_too_few_queries_have_no_p_value():
    (few,) = differences([some([1.0] * 5, 100)], [some([0.0] * 5, 100)])
    assert few.mean == 1
    assert np.isnan([few.p_bootstrap, few.p_permutation]).all()


def test_holm_by_hand():
    assert holm([0.01, 0.04, float("nan"), 0.03]) == pytest.approx([0.03, 0.06, float("nan"), 0.06], nan_ok=True)
    assert holm([0.6, 0.7]) == [1, 1]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_is_never_below_the_p_value_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()
