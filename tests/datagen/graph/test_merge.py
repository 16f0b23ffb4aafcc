import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.graph.joins import find_joins
from datagen.graph.merge import merge
from datagen.graph.tables import SCHEMAS, KnowledgeGraph

make = KnowledgeGraph.from_rows


def rows(table):
    return sorted(
        tuple(tuple(sorted(v)) if isinstance(v, list) else v for v in row.values()) for row in table.to_pylist()
    )


def ids(graph):
    return sorted(graph.concepts["concept_id"].to_pylist())


def test_a_shared_xref_joins_and_everything_of_both_unites_under_the_earliest():
    first = make(
        [("A:1", "kidney failure", ["disease"]), ("A:2", "oliguria", ["finding"])],
        [("A:1", "renal failure", "en", "broad"), ("A:1", "KF", "en", "abbreviation")],
        relations=[("A:1", "finding", "A:2")],
        xrefs=[("A:1", "MESH:D1")],
    )
    second = make(
        [("B:1", "Renal insufficiency", ["Finding"]), ("B:2", "kidney disease", ["disease"])],
        [("B:1", "renal failure", "en", "exact")],
        is_a=[("B:1", "B:2")],
        relations=[("B:1", "finding", "A:2")],
        xrefs=[("B:1", "MESH:D1"), ("B:1", "UMLS:C1")],
    )
    graph, report = merge([first, second])
    assert rows(graph.concepts) == [
        ("A:1", "kidney failure", ("Finding", "disease")),
        ("A:2", "oliguria", ("finding",)),
        ("B:2", "kidney disease", ("disease",)),
    ]
    assert rows(graph.terms) == [
        ("A:1", "KF", "en", "abbreviation"),
        ("A:1", "Renal insufficiency", "en", "exact"),
        ("A:1", "renal failure", "en", "exact"),
    ]
    assert rows(graph.is_a) == [("A:1", "B:2")]
    assert rows(graph.relations) == [("A:1", "finding", "A:2")]
    assert rows(graph.xrefs) == [("A:1", "B:1"), ("A:1", "MESH:D1"), ("A:1", "UMLS:C1")]
    assert report["joined_by_xref"] == 1
    assert report["samples"]["joined_by_xref"] == [
        {
            "why": "MESH:D1",
            "kept": "A:1",
            "kept_name": "kidney failure",
            "other": "B:1",
            "other_name": "Renal insufficiency",
        }
    ]


def test_the_id_of_a_concept_is_an_xref_of_itself_however_its_prefix_is_written():
    graph, _ = merge([make([("ORDO:7", "x", ["disease"])]), make([("B:1", "y", [])], xrefs=[("B:1", "ORPHA:7")])])
    assert ids(graph) == ["ORDO:7"]


def test_an_xref_that_one_source_gives_two_concepts_joins_nothing():
    coarse = make([("A:1", "a", []), ("A:2", "b", [])], xrefs=[("A:1", "MESH:D1"), ("A:2", "MESH:D1")])
    graph, report = merge([coarse, make([("B:1", "c", [])], xrefs=[("B:1", "MESH:D1")])])
    assert len(ids(graph)) == 3
    assert report["of_several_concepts"]["xref"] == 1


@pytest.mark.parametrize(
    ("name", "types", "scope", "joined"),
    [
        ("Heart  Failure", ["disease"], "exact", True),
        ("heart failure", ["Disease or Syndrome"], "exact", True),
        ("heart failure", ["Sign or Symptom", "drug"], "exact", True),
        ("heart failure", ["drug"], "exact", False),
        ("heart failure", ["gizmo"], "exact", False),
        ("heart failure", [], "exact", False),
        ("heart failure", ["disease"], "broad", False),
        ("heart failure", ["disease"], "abbreviation", False),
    ],
)
def test_the_same_name_joins_when_it_is_exact_and_the_types_are_of_one_group(name, types, scope, joined):
    second = make([("B:1", "other", types)], [("B:1", name, "en", scope)])
    graph, report = merge([make([("A:1", "heart failure", ["disease"])]), second])
    assert (report["joined_by_name"] == 1) == (len(ids(graph)) == 1) == joined


def test_a_type_that_no_group_knows_is_compatible_with_itself():
    graph, _ = merge([make([("A:1", "x ray", ["gizmo"])]), make([("B:1", "x ray", ["gizmo"])])])
    assert ids(graph) == ["A:1"]


def test_a_name_of_two_concepts_of_one_source_joins_nothing():
    twice = make([("A:1", "cold", ["disease"]), ("A:2", "b", ["finding"])], [("A:2", "cold", "en", "exact")])
    graph, report = merge([twice, make([("B:1", "Cold", ["disease"])])])
    assert len(ids(graph)) == 3
    assert report["of_several_concepts"]["name"] == 1


@pytest.mark.parametrize(
    ("name", "title", "joined"),
    [
        ("kidney injury", "Injury of kidney, unspecified", True),
        ("spermatic cord cancer", "Malignant neoplasm of spermatic cord", True),
        ("lens disease", "Disorders of lens, NOS", True),
        ("Poland syndrome", "Other malformations", False),
        ("sinusitis", "Acute sinusitis", False),
    ],
)
def test_a_code_of_a_classification_joins_only_terms_of_the_same_words(name, title, joined):
    named = make([("B:1", name, [])], xrefs=[("B:1", "ICD10CM:N17.9")])
    graph, report = merge([named, make([("ICD10CM:N17.9", title, [])])])
    assert len(ids(graph)) == 2 - joined
    assert (report["joined_by_code"], report["refused_for_words"]) == (joined, not joined)


def test_two_concepts_of_one_source_do_not_meet_in_a_third_and_the_same_name_goes_first():
    first = make([("A:1", "anuria", ["finding"]), ("A:2", "oliguria", ["finding"])], xrefs=[("A:1", "MESH:D1")])
    second = make([("B:1", "oliguria", ["finding"])], xrefs=[("B:1", "MESH:D1")])
    graph, report = merge([first, second])
    assert ids(graph) == ["A:1", "A:2"]
    assert (report["joined_by_name"], report["refused_for_same_source"]) == (1, 1)


def test_the_same_id_in_two_sources_is_one_concept_and_another_label_a_term():
    graph, report = merge([make([("A:1", "old name", ["x"])]), make([("A:1", "new name", ["y"])])])
    assert rows(graph.concepts) == [("A:1", "old name", ("x", "y"))]
    assert rows(graph.terms) == [("A:1", "new name", "en", "exact")]
    assert report["joined_by_id"] == 1


def test_what_points_nowhere_or_to_itself_goes_and_is_counted():
    source = make(
        [("A:1", "a", []), ("A:2", "b", []), ("A:3", "c", [])],
        [("X:1", "x", "es", "exact")],
        [("A:1", "X:1"), ("A:1", "A:1"), ("A:1", "A:2"), ("A:2", "A:3"), ("A:3", "A:1")],
        [("A:1", "r", "A:2"), ("A:1", "r", "X:1"), ("A:2", "r", "A:2")],
        [("X:1", "MESH:D1")],
    )
    graph, report = merge([source])
    assert rows(graph.is_a) == [("A:1", "A:2"), ("A:2", "A:3")]
    assert rows(graph.relations) == [("A:1", "r", "A:2")]
    assert report["dropped"] == {
        "terms_of_unknown_concepts": 1,
        "is_a_of_unknown_concepts": 1,
        "is_a_to_itself": 1,
        "is_a_in_cycles": 1,
        "relations_of_unknown_concepts": 1,
        "relations_to_itself": 1,
        "xrefs_of_unknown_concepts": 1,
    }


def test_one_source_that_stands_alone_passes_untouched():
    source = make([("A:1", "a", []), ("A:2", "b", [])], is_a=[("A:1", "A:2")], relations=[("A:1", "r", "A:2")] * 2)
    graph, _ = merge([source])
    assert all(getattr(graph, name) is getattr(source, name) for name in SCHEMAS)


def test_senses_of_several_inventories_add_up():
    graph, _ = merge(
        [
            make([("A:1", "a", [])], senses=[("MS", "mitral stenosis", 2)]),
            make(senses=[("MS", "mitral stenosis", 3), ("MS", "morphine", 1)]),
        ]
    )
    assert rows(graph.senses) == [("MS", "mitral stenosis", 5), ("MS", "morphine", 1)]


def test_additions_without_any_concept_are_refused():
    with pytest.raises(ValueError, match="hold no concepts"):
        merge([make(senses=[("MS", "morphine", 1)])])


@st.composite
def sources(draw):
    """Up to four sources whose few names, xrefs and ids meet often."""
    graphs = []
    for source in "ABCD"[: draw(st.integers(1, 4))]:
        own = [f"{source}:{i}" for i in range(draw(st.integers(1, 4)))] + draw(st.sampled_from([[], ["S:0"], ["S:1"]]))
        concept = st.sampled_from(own)
        anyone = st.sampled_from([*own, "A:0", "B:0", "S:0", "X:0"])
        names, types = (
            st.sampled_from(["red", "Blue", "blue", "green"]),
            st.sampled_from(["disease", "finding", "drug"]),
        )
        xref = st.sampled_from(["MESH:D1", "MESH:D2", "UMLS:C1", "A:0", "S:1", "ICD10CM:A01"])
        several = {"max_size": 6, "unique": True}
        graphs.append(
            {
                "concepts": [(c, draw(names), [draw(types)]) for c in own],
                "terms": draw(
                    st.lists(st.tuples(anyone, names, st.just("en"), st.sampled_from(["exact", "broad"])), **several)
                ),
                "is_a": draw(st.lists(st.tuples(concept, anyone), **several)),
                "relations": draw(st.lists(st.tuples(concept, st.just("r"), anyone), **several)),
                "xrefs": draw(st.lists(st.tuples(anyone, xref), **several)),
            }
        )
    return graphs


@settings(max_examples=150, deadline=None)
@given(sources(), st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter_and_no_cluster_holds_two_concepts_of_a_source(tables, seed):
    graph, report = merge([make(**of_source) for of_source in tables])
    graph.check()
    json.dumps(report)

    draw = random.Random(seed)
    shuffled = [make(**{name: draw.sample(t, len(t)) for name, t in of_source.items()}) for of_source in tables]
    again, report_again = merge(shuffled)
    assert {n: rows(getattr(again, n)) for n in SCHEMAS} == {n: rows(getattr(graph, n)) for n in SCHEMAS}
    assert report_again == report

    kept_for, _ = find_joins([make(**of_source) for of_source in tables])
    for of_source in tables:
        own = {row[0] for row in of_source["concepts"]}
        assert len({kept_for.get(concept, concept) for concept in own}) == len(own)
