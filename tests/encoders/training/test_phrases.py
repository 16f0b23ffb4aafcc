import re

from hypothesis import given
from hypothesis import strategies as st

from encoders.training.phrases import LONGEST, common_words, draw_phrases, phrases_of

TEXTS = st.text(alphabet="abÄ9 .,-\n", max_size=60)


def test_phrases_are_runs_of_words_that_no_punctuation_breaks():
    assert phrases_of("Severe aortic stenosis, non-smoker") == {
        "severe", "aortic", "stenosis", "severe aortic", "aortic stenosis", "severe aortic stenosis", "non-smoker",
    }  # fmt: skip


@given(TEXTS)
def test_a_phrase_stands_in_its_text(text):
    folded = re.sub(r"\s+", " ", text.casefold())
    for phrase in phrases_of(text):
        assert phrase in folded
        assert 1 <= len(phrase.split(" ")) <= LONGEST


@given(TEXTS, st.integers(0, 5), st.sets(st.sampled_from(["a", "b", "ab"])))
def test_drawn_phrases_are_distinct_and_begin_and_end_with_words_that_say_something(text, number, common):
    drawn = draw_phrases(text, number, common)
    assert len(drawn) == len(set(drawn)) <= number
    assert set(drawn) <= phrases_of(text)
    assert drawn == draw_phrases(text, number, common)
    for phrase in drawn:
        for end in (phrase.split(" ")[0], phrase.split(" ")[-1]):
            assert end not in common
            assert any(map(str.isalpha, end))


def test_words_of_many_texts_are_common():
    assert common_words(["The knee", "THE hip", *(f"word{i}" for i in range(10))]) == {"the"}
