import os
import pickle

import pytest

from datagen.graph.artefact import BuiltGraph, normalise
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph


@pytest.fixture
def graph():
    return KnowledgeGraph.from_rows(
        concepts=[
            ("K:1", "Acute  Kidney Injury", ["disease"]),
            ("K:0", "kidney disease", ["disease", "group"]),
            ("K:2", "disease", ["disease"]),
            ("K:3", "aki", ["place"]),
            ("K:4", "oliguria", ["finding"]),
        ],
        terms=[
            ("K:1", "kidney trouble", "en", "related"),
            ("K:1", "AKI", "en", "abbreviation"),
            ("K:1", "acute renal failure", "en", "exact"),
            ("K:1", "acute kidney injury", "en", "exact"),
            ("K:1", " ", "en", "exact"),
            ("K:0", "kidney trouble", "en", "exact"),
        ],
        is_a=[("K:1", "K:0"), ("K:1", "K:2"), ("K:0", "K:2")],
        relations=[("K:1", "symptom", "K:4"), ("K:1", "finding", "K:4"), ("K:1", "finding", "K:3")],
    )


@pytest.fixture
def built(graph, tmp_path):
    build_graph(graph, tmp_path / "graph")
    return BuiltGraph.open(tmp_path / "graph")


def test_terms_lead_to_concepts_closest_first(built):
    assert built.concepts_of("acute  RENAL failure") == ("K:1",)
    assert built.concepts_of("AKI") == ("K:3", "K:1")
    assert built.concepts_of("kidney trouble") == ("K:0", "K:1")
    assert built.concepts_of("gout") == ()
    assert built.concepts_of("") == ()


def test_terms_of_a_concept_are_preferred_first_then_by_scope_each_once(built):
    assert built.terms_of("K:1") == ("acute kidney injury", "acute renal failure", "aki", "kidney trouble")
    assert built.preferred_term("K:1") == "Acute  Kidney Injury"
    assert built.semantic_types("K:0") == ("disease", "group")


def test_hierarchy_and_relations(built):
    assert built.parents("K:1") == ("K:0", "K:2")
    assert built.ancestors("K:1") == ("K:0", "K:2")
    assert built.ancestors("K:2") == ()
    assert built.related("K:1") == ("K:4", "K:3")
    assert built.related("K:4") == ()
    assert "K:4" in built
    assert "K:9" not in built
    with pytest.raises(KeyError):
        built.parents("K:9")


def test_a_term_is_an_abbreviation_only_where_nothing_names_it_more_closely(graph, built, tmp_path):
    assert not built.is_abbreviation("aki")  # also the preferred term of K:3
    alone = KnowledgeGraph.from_rows([("K:1", "acute kidney injury", [])], [("K:1", "AKI", "en", "abbreviation")])
    build_graph(alone, tmp_path / "alone")
    assert BuiltGraph.open(tmp_path / "alone").is_abbreviation("AKI")


def test_it_pickles_as_its_folder(built):
    pickled = pickle.dumps(built)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).terms_of("K:4") == ("oliguria",)


def test_building_again_replaces_the_folder_and_leaves_nothing_beside_it(graph, built, tmp_path):
    build_graph(KnowledgeGraph.from_rows([("N:1", "new", [])]), tmp_path / "graph")
    assert BuiltGraph.open(tmp_path / "graph").terms_of("N:1") == ("new",)
    assert built.terms_of("K:4") == ("oliguria",)  # what was open keeps its mapped files
    assert os.listdir(tmp_path) == ["graph"]


def test_a_failed_build_leaves_the_old_one(graph, built, tmp_path, monkeypatch):
    monkeypatch.setattr("datagen.graph.artefact.json.dumps", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_graph(graph, tmp_path / "graph")
    assert os.listdir(tmp_path) == ["graph"]
    monkeypatch.undo()
    assert BuiltGraph.open(tmp_path / "graph").terms_of("K:4") == ("oliguria",)


def test_an_empty_graph_is_not_built(tmp_path):
    with pytest.raises(ValueError, match="no concepts"):
        build_graph(KnowledgeGraph.from_rows([]), tmp_path / "graph")


def test_an_unfinished_or_other_folder_is_refused(built, tmp_path):
    with pytest.raises(ValueError, match="none: not a finished built knowledge graph"):
        BuiltGraph.open(tmp_path / "none")
    manifest = tmp_path / "graph/manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 0'))
    with pytest.raises(ValueError, match="built in format 0"):
        BuiltGraph.open(tmp_path / "graph")
    manifest.unlink()
    with pytest.raises(ValueError, match="not a finished built knowledge graph"):
        BuiltGraph.open(tmp_path / "graph")


def test_normal_form():
    assert normalise("  Acute\n Kidney  INJURY ") == "acute kidney injury"
