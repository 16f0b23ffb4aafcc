import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.graph.artefact import BuiltGraph, normalise
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.matching import Match
from datagen.matching.drehr import DrEhrMatcher

ENDS = frozenset("_~(^+\"#%:?`>$@*[]!&,{;.|}'<\\=)/")


def matcher_of(*terms):
    with tempfile.TemporaryDirectory() as folder:  # the mapped files outlive their names
        graph = KnowledgeGraph.from_rows([(f"T:{i}", term, []) for i, term in enumerate(terms)])
        build_graph(graph, Path(folder) / "graph")
        return DrEhrMatcher(BuiltGraph.open(Path(folder) / "graph"))


def found(text, *terms):
    return [match.term for match in matcher_of(*terms).find(text)]


def straightforward(terms, text):
    """The published algorithm: a character trie of dictionaries, at each start the longest term with a boundary."""
    root = {}
    for term in map(normalise, terms):
        node = root
        for character in term:
            node = node.setdefault(character, {})
        node["term"] = True
    lowered, place, matches = text.lower(), 0, []
    while place < len(lowered):
        best = 0
        before = lowered[place - 1] if place else " "
        if lowered[place].isalnum() and (before.isspace() or before == "("):
            node, end = root, place
            while end < len(lowered) and lowered[end] in node:
                node, end = node[lowered[end]], end + 1
                at_end = end == len(lowered) or lowered[end].isspace() or lowered[end] in ENDS
                if at_end and node.get("term"):
                    best = end
        if best:
            matches.append((place, best, lowered[place:best]))
        place = best or place + 1
    return matches


def test_longest_term_wins_and_scanning_goes_on_behind_it():
    text = "Acute kidney injury, kidney injury; acute."
    assert matcher_of("acute", "kidney injury", "acute kidney injury", "injury").find(text) == [
        Match(0, 19, "acute kidney injury"),
        Match(21, 34, "kidney injury"),
        Match(36, 41, "acute"),
    ]


def test_a_longer_term_that_runs_into_a_word_does_not_hide_the_shorter():
    assert found("acute painful swelling", "acute", "acute pain") == ["acute"]
    assert found("acute pain", "acute", "acute pain") == ["acute pain"]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("fever", ["fever"]),
        ("(fever)", ["fever"]),
        ("no\tFEVER\n", ["fever"]),
        ("fever/chills", ["fever"]),  # nothing starts behind a slash
        ("/fever", []),
        ("feverish", []),
        ("low-fever", []),
        ("fever-free", []),
        ("fever\u2014", []),
        ("a fever (chills) fever", ["fever", "chills", "fever"]),
    ],
)
def test_boundaries(text, terms):
    assert found(text, "fever", "chills") == terms


def test_the_profile_is_the_published_one_numbers_and_single_letters_match():
    assert found("K 12", "k", "12") == ["k", "12"]


def test_offsets_stand_in_the_given_text_where_lower_case_is_longer():
    text = "İİ fever (İzmir fever)"
    matches = matcher_of("fever", "İzmir fever").find(text)
    assert [text[match.start : match.end] for match in matches] == ["fever", "İzmir fever"]


def test_empty_text_matches_nothing():
    assert found("", "fever") == []


words = st.text("abIİ1-", min_size=1, max_size=3)
phrases = st.lists(words, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from([" ", "(", "/", "", " ("]).map(lambda joint: joint.join(parts))
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(phrases, min_size=1, max_size=12),
    st.lists(st.one_of(phrases, st.sampled_from([" ", "\n", "(", ")", ",", "_", "é", "\u00a0", "AΣ"])), max_size=30),
)
def test_it_finds_what_the_straightforward_algorithm_finds(terms, pieces):
    matcher = matcher_of(*terms)
    for text in ("".join(pieces), " ".join(pieces)):
        matches = matcher.find(text)
        expected = straightforward(terms, text)
        assert [match.term for match in matches] == [term for _, _, term in expected]
        assert [text[match.start : match.end].lower() for match in matches] == [term for _, _, term in expected]
        if len(text.lower()) == len(text):
            assert matches == expected


def test_what_it_remembers_is_bounded_and_changes_no_result(monkeypatch):
    monkeypatch.setattr("datagen.graph.term_index._MOST_REMEMBERED", 3)
    matcher = matcher_of("fever", "chest pain", "chest pain at rest")
    text = " ".join(f"word{i} fever chest pain at rest chest pain" for i in range(20))
    assert [match.term for match in matcher.find(text)] == ["fever", "chest pain at rest", "chest pain"] * 20
    for word in "abcdefgh":
        matcher.find(word)
    assert len(matcher.graph.terms._lengths) <= 3
