import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from corpus.chunking import ChunkingSettings, Cleaned, chunk_note

PROFILES = pytest.mark.parametrize("profile", ["drehr", "cliniq"])
NOTE_TEXT = st.text(alphabet=" \n\t\r\x0c\u2028ab1.,-_[]*=é\xa0", max_size=300)


def published_drehr(text):
    """DR.EHR's cleaning, written straight from its description."""
    text = re.sub(r"\[.*?\]", "", text)
    text = re.sub(r"___+", " ", text)
    text = re.sub(r"(\W)\1+", " ", text)
    return re.sub(r"\s+", " ", text).strip()


def published_cliniq(text):
    """CliniQ's cleaning, written straight from its description."""
    text = re.sub(r"\[.*?\]", "", text)
    text = text.replace("\n", " ")
    return re.sub(r" +", " ", text).strip()


PUBLISHED = {"drehr": published_drehr, "cliniq": published_cliniq}


def published_split(text, words, overlap):
    """LangChain's CharacterTextSplitter(separator=" ", length_function=lambda x: len(x.split()))."""
    length = lambda piece: len(piece.split())  # noqa: E731
    chunks, current, total = [], [], 0
    for piece in filter(None, text.split(" ")):
        if total + length(piece) > words and current:
            chunks.append(" ".join(current).strip())
            while total > overlap or (total + length(piece) > words and total > 0):
                total -= length(current[0])
                current = current[1:]
        current.append(piece)
        total += length(piece)
    return [chunk for chunk in [*chunks, " ".join(current).strip()] if chunk]


@PROFILES
@given(text=NOTE_TEXT)
def test_cleaning_is_the_published_one(profile, text):
    assert Cleaned(text, profile).text == PUBLISHED[profile](text)


@PROFILES
@given(text=NOTE_TEXT, words=st.integers(1, 8), data=st.data())
def test_chunks_are_the_published_ones(profile, text, words, data):
    overlap = data.draw(st.integers(0, words - 1))
    settings = ChunkingSettings(profile=profile, words=words, overlap=overlap)
    expected = published_split(PUBLISHED[profile](text), words, overlap)
    assert [span.text for span in chunk_note(text, settings)] == expected


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
    assert " ".join(joined) == published_drehr(text)


@PROFILES
@given(text=NOTE_TEXT)
def test_every_character_comes_from_itself_or_is_the_space_for_a_run(profile, text):
    cleaned = Cleaned(text, profile)
    origins = [cleaned.origin(position) for position in range(len(cleaned.text))]
    assert origins == sorted(set(origins))
    for character, origin in zip(cleaned.text, origins, strict=True):
        assert character in (text[origin], " ")


@PROFILES
@given(text=NOTE_TEXT)
def test_offsets_point_at_the_chunk_in_the_original(profile, text):
    for span in chunk_note(text, ChunkingSettings(profile=profile, words=4, overlap=1)):
        source = text[span.char_start : span.char_end]
        assert source[0] == span.text[0]
        assert source[-1] == span.text[-1]
        assert PUBLISHED[profile](source) == span.text


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("drehr", "Mr. seen by for chest pain. none"), ("cliniq", "Mr. ___ seen by for chest pain. --- none")],
)
def test_de_identification_marks_do_not_shift_the_highlight(profile, expected):
    text = "Mr. ___ seen by [**Doctor Last Name**] for   chest pain.\n--- none"
    (span,) = chunk_note(text, ChunkingSettings(profile=profile))
    assert span.text == expected
    assert text[span.char_start : span.char_end] == text


def test_a_mark_that_runs_over_a_line_stays_as_in_the_published_code():
    (span,) = chunk_note("at [**Hospital\n18**] today", ChunkingSettings())
    assert span.text == "at [ Hospital 18 ] today"


@PROFILES
def test_brackets_that_are_never_closed_are_searched_once(profile):
    many = "[ " * 500_000  # hours, if the rest of the line were searched from each of them
    assert Cleaned(f"{many}\n[**Name**] seen", profile).text == f"{many} seen".replace("  ", " ")


def test_a_note_that_cleans_to_nothing_has_no_chunk():
    assert list(chunk_note("____ [**Name**] \n", ChunkingSettings())) == []


def test_overlap_must_leave_progress():
    with pytest.raises(ValidationError, match="overlap must be smaller than words"):
        ChunkingSettings(words=10, overlap=10)
