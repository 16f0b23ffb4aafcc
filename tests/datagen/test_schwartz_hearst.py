import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.schwartz_hearst import Definition, best_long_form, definitions, is_short_form


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("She has chronic kidney disease (CKD).", "CKD", "chronic kidney disease"),
        ("with end-stage renal disease (ESRD)", "ESRD", "end-stage renal disease"),
        ("known for CKD (chronic kidney disease).", "CKD", "chronic kidney disease"),
        ("AKI (acute kidney injury, resolved)", "AKI", "acute kidney injury"),
        ("deep vein thrombosis (DVT; left leg)", "DVT", "deep vein thrombosis"),
        ("acute\nmyocardial infarction (MI)", "MI", "myocardial infarction"),
        ("heat shock transcription factor (HSF)", "HSF", "heat shock transcription factor"),
        ("signs of diabetes mellitus type 2 (DM 2)", "DM 2", "diabetes mellitus type 2"),
        ("İstanbul: chronic kidney disease (CKD)", "CKD", "chronic kidney disease"),
    ],
)
def test_what_defines_a_short_form(text, short_form, long_form):
    assert definitions(text) == [Definition(short_form, long_form)]


@pytest.mark.parametrize(
    "text",
    [
        "pain in the lower extremity (left)",  # no capital
        "He takes aspirin (81 mg daily)",
        "no relation (XQ)",  # letters that are not there
        "Chronic disease. Kidney stones (CK)",  # c stands in another sentence
        "the kidney function (K)",  # one character
        "CKD stage three disease (CKD)",  # holds the short form
        "chronic kidney disease CKD)",
        "(CKD) chronic kidney disease",
    ],
)
def test_what_defines_none(text):
    assert definitions(text) == []


def test_every_definition_of_a_note_in_its_order():
    text = "Pulmonary embolism (PE) was excluded.\n\nHeart failure (HF) is not; physical examination (PE) done."
    assert [short for short, _ in definitions(text)] == ["PE", "HF", "PE"]


def test_the_long_form_begins_with_the_first_letter_and_within_the_words_the_paper_allows():
    assert best_long_form("MI", "acute and massive myocardial infarction") == "myocardial infarction"
    assert best_long_form("AD", "bread") is None
    assert definitions("Care with one two three four five disease (CD)") == []


def test_short_forms():
    assert all(map(is_short_form, ["CKD", "HbA1c", "DM 2", "N/V", "5-HT"]))
    assert not any(map(is_short_form, ["", "C", "ckd", "81", "Chronic kidney", "A B C", "-CK"]))


@given(st.text("abcIO 2-", min_size=2, max_size=10), st.text("abcio 2-", max_size=60))
def test_a_long_form_is_an_end_of_the_candidate_that_holds_the_short_form_in_order(short_form, candidate):
    long_form = best_long_form(short_form, candidate)
    if long_form is not None:
        assert candidate.endswith(long_form)
        assert candidate == long_form or candidate[-len(long_form) - 1] == " "
        letters = iter(long_form.lower())
        assert all(character in letters for character in short_form.lower() if character.isalnum())
