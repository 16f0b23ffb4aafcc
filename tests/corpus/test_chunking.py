import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from corpus.chunking import ChunkingSettings, chunk_note, clean

NOTE_TEXT = st.text(alphabet=" \n\tab1.,-_[]*=é", max_size=300)


def published_clean(text):
    """The published preprocessing, written straight from its description."""
    text = re.sub(r"\[.*?\]", "", text, flags=re.DOTALL)
    text = re.sub(r"_{3,}", " ", text)
    text = re.sub(r"([^\w\s])\1+", " ", text)
    return re.sub(r"\s+", " ", text).strip()


@given(NOTE_TEXT)
def test_cleaning_is_the_published_one(text):
    assert clean(text)[0] == published_clean(text)


@given(NOTE_TEXT, st.integers(1, 8), st.data())
def test_windows_cover_every_word_with_the_set_overlap(text, words, data):
    overlap = data.draw(st.integers(0, words - 1))
    chunks = [span.text.split(" ") for span in chunk_note(text, ChunkingSettings(words=words, overlap=overlap))]
    joined = chunks[0] if chunks else []
    for before, after in pairwise(chunks):
        assert len(before) == words
        assert before[words - overlap :] == after[:overlap]
        assert len(after) > overlap
        joined = joined + after[overlap:]
    assert " ".join(joined) == published_clean(text)


@given(NOTE_TEXT)
def test_offsets_point_at_the_chunk_in_the_original(text):
    for span in chunk_note(text, ChunkingSettings(words=4, overlap=1)):
        source = text[span.char_start : span.char_end]
        assert source[0] == span.text[0]
        assert source[-1] == span.text[-1]
        assert published_clean(source) == span.text


def test_de_identification_marks_do_not_shift_the_highlight():
    text = "Mr. ___ seen by [**Doctor Last Name**] for   chest pain."
    (span,) = chunk_note(text, ChunkingSettings())
    assert span.text == "Mr. seen by for chest pain."
    assert text[span.char_start : span.char_end] == text


def test_a_note_that_cleans_to_nothing_has_no_chunk():
    assert list(chunk_note("____ [**Name**] \n", ChunkingSettings())) == []


def test_overlap_must_leave_progress():
    with pytest.raises(ValidationError, match="overlap must be smaller than words"):
        ChunkingSettings(words=10, overlap=10)
