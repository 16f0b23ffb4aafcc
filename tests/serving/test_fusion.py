import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.fusion import convex

scores = st.lists(st.tuples(st.floats(0, 50, width=32), st.floats(-1, 1, width=32)), min_size=1, max_size=20)


def test_each_query_is_normalised_by_its_own_best_word_match_and_half_a_match_counts_a_quarter():
    lexical = np.array([[10.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    dense = np.array([[0.0, 1.0, 1.0], [0.5, 0.2, 0.1]])
    np.testing.assert_allclose(convex(lexical, dense, 0.7), [[0.7, 0.475, 0.3], [0.15, 0.06, 0.03]], rtol=1e-6)


@given(scores)
def test_weight_one_ranks_by_words_and_weight_zero_by_cosine(pairs):
    lexical, dense = np.array(pairs, np.float32).T
    assert convex(lexical, dense, 1.0).argmax() == (lexical / max(lexical.max(), 1e-30)).argmax()
    np.testing.assert_array_equal(convex(lexical, dense, 0.0), dense)


@given(scores, st.floats(0.01, 100))
def test_the_scale_of_the_lexical_scores_does_not_matter(pairs, scale):
    lexical, dense = np.array(pairs, np.float64).T
    np.testing.assert_allclose(convex(lexical * scale, dense), convex(lexical, dense), rtol=1e-4, atol=1e-6)


def test_no_candidates_and_bad_arguments():
    assert convex(np.zeros((2, 0)), np.zeros((2, 0))).shape == (2, 0)
    with pytest.raises(ValueError, match="differ in shape"):
        convex(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="lie in"):
        convex(np.zeros(2), np.zeros(2), 1.5)
