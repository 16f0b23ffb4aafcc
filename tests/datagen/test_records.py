import pytest

from datagen.annotators.base import Finding
from datagen.expansion import ExpansionSettings
from datagen.graph.artefact import BuiltGraph, build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.matching import Matcher
from datagen.records import stage1_record, stage2_record


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = KnowledgeGraph.from_rows(
        concepts=[
            ("D:1", "pneumonia", []),
            ("D:2", "lung disease", []),
            ("D:3", "disease", []),
            ("D:4", "gout", []),
            ("D:5", "peripheral neuropathy", []),
            ("D:6", "chest infection", []),
            ("R:1", "amoxicillin", []),
        ],
        terms=[
            (concept, term, "en", "abbreviation") for concept, term in (("D:1", "PNA"), ("D:5", "PN"), ("D:1", "PN"))
        ],
        is_a=[("D:1", "D:2"), ("D:2", "D:3")],
        relations=[("D:1", "treated_by", "R:1"), ("D:6", "may_be", "D:1")],
    )
    build_graph(rows, folder)
    return BuiltGraph.open(folder)


def test_stage_1_holds_matched_and_added_terms_with_their_columns(graph):
    record = stage1_record("n_0", "Has PNA, again pna.", Matcher(graph), ExpansionSettings())
    assert record == {
        "idx": "n_0",
        "text": "Has PNA, again pna.",
        "entities": ["amoxicillin", "lung disease", "pn", "pna", "pneumonia"],
        "concepts": ["R:1", "D:2", "D:1", "D:1", "D:1"],
        "provenance": ["relation", "hypernym", "synonym", "match", "abbreviation"],
        "assertion": ["present"] * 5,
        "true_concepts": ["D:1", "D:2", "D:3"],
    }


def test_stage_1_prefers_matched_over_added_and_leaves_ambiguous_short_forms_unresolved(graph):
    record = stage1_record("n_0", "PN, pneumonia with lung disease", Matcher(graph), ExpansionSettings())
    rows = list(zip(record["entities"], record["concepts"], record["provenance"], strict=True))
    assert ("lung disease", "D:2", "match") in rows
    assert ("pn", "", "match") in rows
    assert len(rows) == len(set(record["entities"]))
    assert "D:5" not in record["true_concepts"]


def entities(graph, text):
    record = stage1_record("n_0", text, Matcher(graph), ExpansionSettings())
    return record and dict(zip(record["entities"], record["assertion"], strict=True))


@pytest.mark.parametrize("denial", ["No pneumonia.", "Mother had pneumonia.", "Return if pneumonia occurs."])
def test_stage_1_leaves_out_what_is_not_true_of_the_patient(graph, denial):
    record = stage1_record("n_0", f"{denial} He has gout.", Matcher(graph), ExpansionSettings())
    assert record["entities"] == ["gout"]
    assert record["true_concepts"] == ["D:4"]
    assert entities(graph, denial) is None


def test_stage_1_adds_no_name_of_what_is_only_denied(graph):
    assert set(entities(graph, "He has pneumonia. No amoxicillin.")) == {"lung disease", "pn", "pna", "pneumonia"}
    assert set(entities(graph, "No PNA. He has chest infection.")) == {"chest infection"}
    both = entities(graph, "No PNA. He has chest infection. He has pneumonia.")
    assert {"chest infection", "pneumonia", "pn", "amoxicillin"} < set(both)


def test_stage_1_takes_the_best_mention_and_hands_it_to_what_is_added(graph):
    assertions = entities(graph, "No pneumonia. History of pneumonia. No gout. He has gout. History of gout.")
    assert assertions["gout"] == "present"
    assert assertions["pneumonia"] == assertions["lung disease"] == "historical"


def test_excluded_terms_are_no_entities_but_stay_true_of_the_chunk(graph):
    excluded = frozenset({"pneumonia", "lung disease"})
    record = stage1_record("n_0", "pneumonia, gout", Matcher(graph), ExpansionSettings(), excluded)
    assert record["entities"] == ["gout"]
    assert record["true_concepts"] == ["D:1", "D:2", "D:3", "D:4"]
    assert stage1_record("n_0", "Pneumonia.", Matcher(graph), ExpansionSettings(), excluded) is None


def test_stage_1_without_a_match_is_no_record(graph):
    assert stage1_record("n_0", "all well", Matcher(graph), ExpansionSettings()) is None


def test_stage_2_keeps_the_annotators_order_once_each(graph):
    findings = [
        Finding("Pneumonia", "diagnosis", "present", False),
        Finding("night sweats", "diagnosis", "historical", True),
        Finding("pneumonia", "diagnosis", "present", True),
        Finding("amoxicillin", "prescription", "present", True),
        Finding("gout", "diagnosis", "negated", False),
    ]
    assert stage2_record("n_3", "text", findings, graph) == {
        "idx": "n_3",
        "text": "text",
        "entities": ["Pneumonia", "night sweats", "amoxicillin"],
        "concepts": ["D:1", "", "R:1"],
        "provenance": ["rule"] * 3,
        "assertion": ["present", "historical", "present"],
        "true_concepts": ["D:1", "D:2", "D:3", "R:1"],
    }


def test_stage_2_without_a_true_or_allowed_finding_is_no_record(graph):
    gout = Finding("Gout", "diagnosis", "present", False)
    assert stage2_record("n_0", "text", [], graph) is None
    assert stage2_record("n_0", "text", [Finding("gout", "diagnosis", "family", False)], graph) is None
    assert stage2_record("n_0", "text", [gout], graph, excluded_terms=frozenset({"gout"})) is None
    assert stage2_record("n_0", "text", [gout], graph, provenance="llm")["provenance"] == ["llm"]
