import pytest

from datagen.annotators.base import Finding
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.records import stage2_record


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
