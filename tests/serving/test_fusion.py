import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.fusion import convex, letters_held

scores = st.lists(st.tuples(st.floats(0, 50, width=32), st.floats(-1, 1, width=32)), min_size=1, max_size=20)


def test_each_query_is_normalised_by_its_own_best_word_match_and_half_a_match_counts_a_quarter():
    lexical = np.array([[10.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    dense = np.array([[0.0, 1.0, 1.0], [0.5, 0.2, 0.1]])
    np.testing.assert_allclose(convex(lexical, dense, 1, 0.7), [[0.7, 0.475, 0.3], [0.15, 0.06, 0.03]], rtol=1e-6)


@given(scores)
def test_weight_one_ranks_by_words_and_weight_zero_by_cosine(pairs):
    lexical, dense = np.array(pairs, np.float32).T
    assert convex(lexical, dense, 1, 1.0).argmax() == (lexical / max(lexical.max(), 1e-30)).argmax()
    np.testing.assert_array_equal(convex(lexical, dense, 1, 0.0), dense)


@given(scores, st.floats(0.01, 100))
def test_the_scale_of_the_lexical_scores_does_not_matter(pairs, scale):
    lexical, dense = np.array(pairs, np.float64).T
    np.testing.assert_allclose(convex(lexical * scale, dense, 0.8), convex(lexical, dense, 0.8), rtol=1e-4, atol=1e-6)


def test_no_candidates_and_bad_arguments():
    assert convex(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros(2)).shape == (2, 0)
    with pytest.raises(ValueError, match="differ in shape"):
        convex(np.zeros(2), np.zeros(3), 1)
    with pytest.raises(ValueError, match="lie in"):
        convex(np.zeros(2), np.zeros(2), 1, 1.5)


def test_where_the_best_match_holds_half_of_the_query_it_counts_a_quarter():
    lexical, dense = np.array([[8.0, 4.0], [8.0, 4.0]]), np.zeros((2, 2))
    np.testing.assert_allclose(convex(lexical, dense, np.array([1, 0.5]), 1.0), [[1, 0.25], [0.25, 0.0625]])


def test_what_a_match_holds_of_a_query_is_counted_in_letters_of_whole_words():
    assert letters_held("Renal failure", ["acute RENAL failure."]) == 1
    assert letters_held("renal failure", ["heart failure", "adrenal gland"]) == pytest.approx(7 / 12)
    assert letters_held("renal failure", ["renal", "failure"]) == pytest.approx(7 / 12), "the one that holds most"
    assert letters_held("renal failure", []) == letters_held("?!", ["?!"]) == 0
