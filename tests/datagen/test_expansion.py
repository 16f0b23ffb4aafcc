import pytest

from datagen.expansion import Expanded, ExpansionSettings, concepts_named, expand
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[
            ("D:1", "myocardial infarction", []),
            ("D:2", "mitral insufficiency", []),
            ("D:3", "angina", []),
            *((f"P:{i}", f"parent {i}", []) for i in range(5)),
            *((f"R:{i}", f"drug {i}", []) for i in range(5)),
            ("X:1", "Angina", []),
        ],
        terms=[
            *(("D:1", f"heart attack {i}", "en", "exact") for i in range(5)),
            ("D:1", "MI", "en", "abbreviation"),
            ("D:1", "AMI", "en", "abbreviation"),
            ("D:2", "MI", "en", "abbreviation"),
            ("D:3", "AP", "en", "abbreviation"),
            ("X:1", "AP", "en", "abbreviation"),
            ("X:1", "stenocardia", "en", "exact"),
            *((f"P:{i}", f"parent {i} {name}", "en", "exact") for i in range(5) for name in "abc"),
            *((f"R:{i}", f"drug {i} {name}", "en", "exact") for i in range(5) for name in "abc"),
        ],
        is_a=[("D:1", f"P:{i}") for i in range(5)],
        relations=[("D:1", "treated_by", f"R:{i}") for i in range(5)],
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


def terms_of(added, provenance):
    return [one.term for one in added if one.provenance == provenance]


@pytest.mark.parametrize("chunk", [f"n_{i}" for i in range(10)])
def test_counts_are_the_published_ones_and_the_preferred_term_comes_first(graph, chunk):
    added = expand({"heart attack 0"}, chunk, graph, ExpansionSettings())
    synonyms = terms_of(added, "synonym")
    assert synonyms[0] == "myocardial infarction"
    assert len(synonyms) == 2
    for provenance, prefix in (("hypernym", "P:"), ("relation", "R:")):
        chosen = [one for one in added if one.provenance == provenance]
        assert len(chosen) == 4
        assert len({one.concept for one in chosen}) == 2
        assert {one.concept[:2] for one in chosen} == {prefix}
        assert [one.term == graph.terms_of(one.concept)[0] for one in chosen] == [True, False] * 2
    assert {one.added_for for one in added} == {"heart attack 0"}


def test_where_the_preferred_term_was_matched_all_its_synonyms_get_their_turn(graph):
    drawn = {
        one.term
        for i in range(60)
        for one in expand({"myocardial infarction"}, f"n_{i}", graph, ExpansionSettings(parents=0, related=0))
    }
    assert drawn == set(graph.terms_of("D:1")) - {"myocardial infarction"}


def test_the_choice_depends_on_seed_and_chunk_alone(graph):
    def run(terms, chunk, seed=0):
        return expand(terms, chunk, graph, ExpansionSettings(seed=seed))

    first = run(["heart attack 0", "angina"], "n_0")
    assert run(["angina", "heart attack 0", "angina"], "n_0") == first
    assert any(run(["angina", "heart attack 0"], f"n_{i}") != first for i in range(1, 5))
    assert any(run(["angina", "heart attack 0"], "n_0", seed) != first for seed in range(1, 5))


def test_a_short_form_brings_its_full_name(graph):
    added = expand({"ami"}, "n_0", graph, ExpansionSettings(parents=0, related=0))
    assert added[0] == Expanded("myocardial infarction", "D:1", "abbreviation", "ami")
    assert added[1].provenance == "synonym"


def test_an_ambiguous_short_form_stays_unexpanded_but_one_thing_from_two_sources_does_not(graph):
    assert concepts_named(graph, "mi") == ()
    assert expand({"mi"}, "n_0", graph, ExpansionSettings()) == []
    assert concepts_named(graph, "ap") == ("D:3", "X:1")
    added = expand({"ap"}, "n_0", graph, ExpansionSettings())
    assert {(one.term, one.provenance) for one in added} == {("angina", "abbreviation"), ("stenocardia", "synonym")}


def test_excluded_and_matched_terms_are_never_added(graph):
    wanted_out = frozenset({"myocardial infarction", "mi", "ami", "heart attack 1", "heart attack 2"})
    added = expand({"heart attack 0", "parent 1", "drug 1"}, "n_0", graph, ExpansionSettings(), wanted_out)
    terms = {one.term for one in added}
    assert not terms & (wanted_out | {"heart attack 0", "parent 1", "drug 1"})
    assert {"heart attack 3", "heart attack 4"} <= terms


def test_nothing_is_added_for_unknown_terms_or_zero_counts(graph):
    assert expand({"gout"}, "n_0", graph, ExpansionSettings()) == []
    off = ExpansionSettings(synonyms=0, terms_per_parent=0, related=0)
    assert expand({"heart attack 0"}, "n_0", graph, off) == []


NEAREST = ExpansionSettings(profile="nearest")


def test_nearest_takes_terms_in_use_first(graph):
    frequencies = {"heart attack 3": 5, "heart attack 1": 9, "parent 2 b": 1}
    added = expand({"heart attack 0"}, "n_0", graph, NEAREST, frequencies=frequencies)
    assert terms_of(added, "synonym") == ["heart attack 1", "heart attack 3"]


def test_nearest_goes_up_level_by_level_and_leaves_out_the_top(tmp_path):
    rows = KnowledgeGraph.from_rows(
        concepts=[(name, name, []) for name in ("leaf", "near", "far", "farther", "general", "top")],
        is_a=[("leaf", "near"), ("near", "far"), ("far", "farther"), ("farther", "general"), ("general", "top")],
    )
    build_graph(rows, tmp_path / "built")
    graph = BuiltGraph.open(tmp_path / "built")
    assert terms_of(expand({"leaf"}, "n_0", graph, NEAREST), "hypernym") == ["near", "far"]
    assert terms_of(expand({"far"}, "n_0", graph, NEAREST), "hypernym") == ["farther"]
    assert terms_of(expand({"farther"}, "n_0", graph, NEAREST), "hypernym") == []
