import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.folding import fold
from datagen.graph.tables import KnowledgeGraph
from datagen.matching import Match
from datagen.matching.clinical import ClinicalMatcher, ambiguous_forms


def matcher_of(*terms):
    with tempfile.TemporaryDirectory() as folder:  # the mapped files outlive their names
        graph = KnowledgeGraph.from_rows([(f"T:{i}", term, []) for i, term in enumerate(terms)])
        build_graph(graph, Path(folder) / "graph")
        return ClinicalMatcher(BuiltGraph.open(Path(folder) / "graph"))


def found(text, *terms):
    return [match.term for match in matcher_of(*terms).find(text)]


def test_longest_term_wins_and_the_span_is_the_text_as_it_stands():
    text = "Toxic kidney injuries, kidney\ninjury; toxic."
    assert matcher_of("toxic", "kidney injury", "toxic kidney injury").find(text) == [
        Match(0, 21, "toxic kidney injury"),
        Match(23, 36, "kidney injury"),
        Match(38, 43, "toxic"),
    ]


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("two seizures", "seizure"),
        ("a seizure", "seizures"),
        ("serial biopsies", "biopsy"),
        ("abscesses seen", "abscess"),
        ("bone metastases", "bone metastasis"),
        ("chest x-rays", "chest X ray"),
        ("non small-cell carcinoma", "non-small cell carcinoma"),
        ("alzheimers disease", "Alzheimer's disease"),
        ("Alzheimer disease", "Alzheimer's disease"),
        ("Alzheimer’s disease", "Alzheimer disease"),
        ("nausea/vomiting", "nausea vomiting"),
    ],
)
def test_variants_of_a_term_match(text, term):
    assert found(text, term) == [" ".join(term.lower().split())]


@pytest.mark.parametrize("text", ["feverish", "kidney. Injury", "kidney, injury", "kidney (injury)", "kidney: injury"])
def test_parts_of_words_and_words_of_two_phrases_do_not_match(text):
    assert found(text, "fever", "kidney injury") == []


def test_a_longer_candidate_that_is_refused_does_not_hide_the_shorter():
    assert found("fever of unknown", "fever", "fever of unknown origin") == ["fever"]


@pytest.mark.parametrize(
    "text", ["MS-DRG 190", "code A12-MS-3", "5 mg/dL", "mg/ms", "x_ms", "name@ms", "5 ms", "12 ms later"]
)
def test_short_terms_do_not_match_inside_expressions_or_as_units(text):
    assert found(text, "ms", "mg") == []


@pytest.mark.parametrize(
    "text",
    [
        "https://x.org/asthma/anemia?id=fever",
        "scan_asthma_2020.pdf",
        "asthma@clinic.org",
        "MRN asthma-12345",
        "www.asthma.org",
        "asthma.pdf",
    ],
)
def test_addresses_file_names_and_identifiers_do_not_match(text):
    assert found(text, "asthma", "anemia", "fever") == []


def test_a_number_that_goes_on_is_another_number():
    assert found("trisomy 21.5", "trisomy 21") == []
    assert found("trisomy 21. Next", "trisomy 21") == ["trisomy 21"]


def test_what_is_tied_to_a_long_word_is_no_identifier():
    assert found("post-asthma COVID-19-pneumonia; fever/asthma", "asthma", "pneumonia") == [
        "asthma",
        "pneumonia",
        "asthma",
    ]


@pytest.mark.parametrize(
    "term",
    [
        "E. coli infection",
        "C. difficile colitis",
        "St. John's wort",
        "diabetes mellitus, type 2",
        "hemorrhoids (internal)",
        "Heart failure, not otherwise specified",
    ],
)
def test_terms_with_marks_match_as_they_are_written(term):
    assert found(f"known {term}, treated", term) == [term.lower()]


def test_an_initials_dot_may_stand_where_the_term_has_none():
    assert found("E. coli infections", "E coli infection") == ["e coli infection"]


def test_a_term_without_marks_does_not_go_over_them():
    assert found("kidney. Injury and chest, pain (burning)", "kidney injury", "chest pain", "pain burning") == []


@pytest.mark.parametrize("text", ["seen for MELAS syndrome", "seen for melas syndrome", "Melas Syndrome"])
def test_an_abbreviation_within_a_term_matches_in_either_case(text):
    assert found(text, "MELAS syndrome") == ["melas syndrome"]


def test_short_terms_match_as_words_of_their_own():
    assert found("known ms, stable", "ms") == ["ms"]
    assert found("4 seizures, ms since 1999", "ms", "seizure") == ["seizure", "ms"]


def test_a_term_written_only_in_capitals_needs_capitals():
    terms = ("ALL", "fever")
    assert found("All had a fever, all of them", *terms) == ["fever"]
    assert found("a child with ALL and fever", *terms) == ["all", "fever"]
    assert found("ALL OF THEM HAD A FEVER", *terms) == ["fever"]
    assert found("two DVTs of the leg", "DVT") == ["dvt"]


def test_the_s_of_an_abbreviation_is_no_plural():
    assert found("ARDS and AIDS, an aid", "ARDS", "AIDS") == ["ards", "aids"]
    assert found("THE PATIENT the", "THES") == []


def test_two_capitals_match_only_where_a_source_calls_them_an_abbreviation(tmp_path):
    graph = KnowledgeGraph.from_rows(
        [("T:1", "carbon disulfide", []), ("T:2", "myocardial infarction", [])],
        terms=[("T:1", "CD", "en", "exact"), ("T:2", "MI", "en", "abbreviation")],
    )
    build_graph(graph, tmp_path / "graph")
    matches = ClinicalMatcher(BuiltGraph.open(tmp_path / "graph")).find("CD given, MI ruled out")
    assert [match.term for match in matches] == ["mi"]


@pytest.mark.parametrize("term", ["[He]", "He*", "<she>"])
def test_formulas_are_not_reduced_to_words(term):
    assert found("he is well, she too", term) == []


def test_a_term_that_is_also_written_small_needs_none():
    assert found("copd", "COPD", "copd") == ["copd"]


@pytest.mark.parametrize("term", ["k", "12", "finding", "patient"])
def test_single_characters_numbers_and_everyday_words_never_match(term):
    assert found(f"{term} and {term.upper()}, {term}.", term) == []


def test_the_list_of_ambiguous_terms_is_folded():
    assert ambiguous_forms() == {fold(form) for form in ambiguous_forms()}


def test_offsets_hold_where_lower_case_is_longer():
    text = "İİ fevers (İzmir fever)"
    assert [text[m.start : m.end] for m in matcher_of("fever").find(text)] == ["fevers", "fever"]


words = st.sampled_from(["acute", "kidney", "kidneys", "injury", "injuries", "chest", "pain", "s", "b12"])
terms = st.lists(words, min_size=1, max_size=4).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(terms, min_size=1, max_size=8), st.lists(st.one_of(words, st.sampled_from([",", "-", "."])), max_size=20)
)
def test_matches_fold_to_terms_do_not_overlap_and_none_could_be_longer(names, pieces):
    text = " ".join(pieces)
    matches = matcher_of(*names).find(text)
    forms = {fold(name) for name in names}
    assert all(left.end <= right.start for left, right in pairwise(matches))
    for match in matches:
        assert fold(text[match.start : match.end]) == fold(match.term)
        longer = text[match.start :].split(",")[0].split(".")[0].replace("-", " ").split()
        length = len(fold(match.term).split())
        assert not any(fold(" ".join(longer[:n])) in forms for n in range(length + 1, len(longer) + 1))
