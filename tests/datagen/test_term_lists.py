import pytest

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.prose_names import ProseNames
from datagen.stage1 import Stage1, Stage1Settings
from datagen.term_lists import FEWEST, MOST, TermListSettings, term_lists

SEVERAL = {"D:1": {"heart failure", "cardiac failure"}, "D:2": {"pneumonia", "lung infection"}}
UNUSED = {"gout", "ipf", "pneumonia, unspecified", "inflammation of the lungs by germs"}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[
            *(("D:1", "heart failure", []), ("D:2", "pneumonia", []), ("D:3", "gout", []), ("D:4", "disease", [])),
            ("D:5", "mean arterial pressure", []),
        ],
        terms=[
            *(("D:1", name, "en", "exact") for name in ("cardiac failure", "IPF")),
            *(("D:2", name, "en", "exact") for name in ("lung infection", *UNUSED - {"gout", "ipf"})),
        ],
        is_a=[("D:1", "D:4"), ("D:2", "D:4")],
        senses=[
            ("CHF", "heart failure", 60),
            ("CHF", "chick fever", 5),
            ("MAP", "mean arterial pressure", 60),
            ("UN", "unknown", 1),
        ],
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


def lists(graph, excluded=frozenset(), **settings):
    return list(term_lists(graph, ProseNames(graph, excluded), TermListSettings(number=50, **settings)))


def test_lists_hold_names_of_concepts_with_several_and_short_forms_that_mostly_mean_one_thing(graph):
    found = lists(graph)
    assert len(found) == 50
    assert all(FEWEST <= len(items) <= MOST for items in found)
    items = {item for each in found for item in each}
    assert {(item.written, item.term) for item in items if item.is_short_form} == {
        ("CHF", "heart failure"),
        ("MAP", "mean arterial pressure"),
    }
    names = {(item.written, item.term) for item in items if not item.is_short_form}
    assert names == {(name, name) for several in SEVERAL.values() for name in several}


def test_all_concepts_come_in_turn(graph):
    for items in lists(graph, short_forms=0):
        of_concept = {concept: sum(item.term in names for item in items) for concept, names in SEVERAL.items()}
        assert abs(of_concept["D:1"] - of_concept["D:2"]) <= 2


def test_excluded_terms_are_in_no_list(graph):
    items = {item for each in lists(graph, frozenset({"lung infection", "heart failure"})) for item in each}
    assert {item.written for item in items} == {"MAP"}, "no concept is left with two names"
    assert "MAP" not in {item.written for each in lists(graph, frozenset({"map"})) for item in each}


def test_a_graph_without_short_forms_and_other_names_gives_empty_lists(tmp_path):
    build_graph(KnowledgeGraph.from_rows(concepts=[("D:1", "gout", [])]), tmp_path / "built")
    assert lists(BuiltGraph.open(tmp_path / "built")) == [[]] * 50


def test_a_record_holds_what_its_items_stand_for_and_what_the_graph_adds(graph):
    stage1 = Stage1(graph, Stage1Settings.model_validate({"term_lists": {"number": 30}}))
    records = list(stage1.list_records())
    assert [record["idx"] for record in records] == [f"~list_{number}" for number in range(30)]
    record = next(each for each in records if "CHF" in each["text"] and "heart" not in each["text"])
    provenance = dict(zip(record["entities"], record["provenance"], strict=True))
    assert provenance["heart failure"] == "abbreviation"
    assert provenance.get("cardiac failure") in ("synonym", "match")
    assert {"D:1", "D:4"} <= set(record["true_concepts"])
    record = next(each for each in records if "MAP" in each["text"])
    assert "mean arterial pressure" in record["entities"]
    assert record["concepts"][record["entities"].index("mean arterial pressure")] == "D:5"
