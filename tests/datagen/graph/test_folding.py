import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.graph.folding import fold, is_short_form


@pytest.mark.parametrize(
    "variants",
    [
        ("biopsy", "Biopsies"),
        ("metastasis", "metastases"),
        ("anastomosis", "anastomoses"),
        ("disease", "diseases"),
        ("abscess", "abscesses"),
        ("crutch", "crutches"),
        ("X-ray", "x ray", "x-rays"),
        ("Crohn's disease", "Crohn’s disease", "crohns disease", "Crohn disease"),
    ],
)
def test_variants_fold_alike(variants):
    assert len({fold(variant) for variant in variants}) == 1


@pytest.mark.parametrize(
    "different", [("AIDS", "aid"), ("lens", "len"), ("virus", "viru"), ("pelvis", "pelvi"), ("b12", "b1 2")]
)
def test_other_words_do_not(different):
    assert len({fold(word) for word in different}) == 2


@given(st.text())
def test_only_words_in_lower_case_and_single_spaces_are_left(text):
    folded = fold(text)
    assert folded == " ".join(folded.split())
    assert all(character == character.lower() or len(character.lower()) > 1 for character in folded)


@pytest.mark.parametrize(
    ("term", "short"), [("ALL", True), ("T2DM", True), ("All", False), ("DISEASE", False), ("A B", False)]
)
def test_short_forms_are_short_words_in_capitals(term, short):
    assert is_short_form(term) is short
