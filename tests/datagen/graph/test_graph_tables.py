import re

import pytest

from datagen.graph.tables import KnowledgeGraph

CONCEPTS = [("A", "alpha", ["finding"]), ("B", "beta", ["finding"]), ("C", "gamma", ["disease"])]


def test_rows_become_the_tables():
    graph = KnowledgeGraph.from_rows(
        CONCEPTS,
        [("A", "first", "en", "exact")],
        [("A", "B")],
        [("A", "treats", "C")],
        [("A", "MESH:D1")],
        [("AB", "alpha beta", 3)],
    )
    assert graph.concepts.to_pylist()[0] == {
        "concept_id": "A",
        "preferred_term": "alpha",
        "semantic_types": ["finding"],
    }
    assert graph.terms.to_pylist() == [{"concept_id": "A", "term": "first", "language": "en", "scope": "exact"}]
    assert graph.is_a.to_pylist() == [{"child": "A", "parent": "B"}]
    assert graph.relations.to_pylist() == [{"head": "A", "type": "treats", "tail": "C"}]
    assert graph.xrefs.to_pylist() == [{"concept_id": "A", "xref": "MESH:D1"}]
    assert graph.senses.to_pylist() == [{"short_form": "AB", "long_form": "alpha beta", "count": 3}]


def test_tables_that_are_not_given_are_empty():
    graph = KnowledgeGraph.from_rows(CONCEPTS)
    assert (graph.xrefs.num_rows, graph.senses.num_rows) == (0, 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"terms": [("X", "x", "en", "exact")]}, "terms.concept_id names the unknown concept X"),
        ({"is_a": [("A", "X")]}, "is_a.parent names the unknown concept X"),
        ({"is_a": [("X", "A")]}, "is_a.child names the unknown concept X"),
        ({"relations": [("A", "treats", "X")]}, "relations.tail names the unknown concept X"),
        ({"xrefs": [("X", "MESH:D1")]}, "xrefs.concept_id names the unknown concept X"),
        ({"is_a": [("A", "A")]}, "A is_a A"),
        ({"is_a": [("C", "A"), ("A", "B"), ("B", "A")]}, r"(A is_a B is_a A|B is_a A is_a B)"),
    ],
)
def test_a_broken_reference_or_a_cycle_names_the_concept(rows, message):
    with pytest.raises(ValueError, match=message):
        KnowledgeGraph.from_rows(CONCEPTS, **rows).check()


def test_a_source_may_name_concepts_of_another_one():
    KnowledgeGraph.from_rows(terms=[("X", "x", "en", "exact")], xrefs=[("X", "MESH:D1")])


def test_an_unknown_scope_and_a_repeated_concept_are_refused_at_once():
    with pytest.raises(ValueError, match=r"terms\.scope names the unknown scope exactly"):
        KnowledgeGraph.from_rows(CONCEPTS, [("A", "x", "en", "exactly")])
    with pytest.raises(ValueError, match="concept A is defined more than once"):
        KnowledgeGraph.from_rows([*CONCEPTS, CONCEPTS[0]])


def test_two_ways_up_to_one_ancestor_are_no_cycle():
    KnowledgeGraph.from_rows([*CONCEPTS, ("D", "d", [])], is_a=[("A", "B"), ("A", "C"), ("B", "D"), ("C", "D")]).check()


def test_a_table_with_other_columns_is_refused():
    graph = KnowledgeGraph.from_rows(CONCEPTS)
    with pytest.raises(ValueError, match=re.escape("'is_a' must have the columns child, parent")):
        KnowledgeGraph(graph.concepts, graph.terms, graph.relations, graph.relations)
