import pytest

from datagen.graph.artefact import BuiltGraph, build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.guard import Guard, GuardSettings


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    concepts = [("D1", "heart failure"), ("D2", "systolic heart failure"), ("D3", "gout"), ("D4", "burning foot")]
    terms = [("D1", "weak heart"), ("D1", "chf"), ("D2", "hfref"), ("D3", "gouty arthritis"), ("D4", "chf pain")]
    folder = tmp_path_factory.mktemp("graph") / "built"
    build_graph(
        KnowledgeGraph.from_rows(
            concepts=[(concept, name, ["disease"]) for concept, name in concepts],
            terms=[(concept, term, "en", "exact") for concept, term in terms],
            is_a=[("D2", "D1")],
            relations=[],
        ),
        folder,
    )
    return BuiltGraph.open(folder)


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_benchmark_patients_are_left_out(tmp_path, graph):
    guard = Guard(GuardSettings(patients=write(tmp_path / "patients.txt", "p1"), min_words=0), graph)
    assert not guard.admits("p1", "n_0", "text")
    assert guard.admits("p2", "n_0", "text")


def test_a_held_out_term_takes_every_name_of_its_concept_and_of_narrower_ones_along(tmp_path, graph):
    guard = Guard(GuardSettings(terms=write(tmp_path / "terms.txt", "Heart  Failure", "")), graph)
    assert guard.terms == {
        *("heart failure", "weak heart", "chf"),
        *("systolic heart failure", "hfref"),
        "chf pain",  # holds one of them as a word
    }


def test_a_held_out_term_that_the_graph_does_not_know_stands_for_itself(tmp_path, graph):
    assert Guard(GuardSettings(terms=write(tmp_path / "terms.txt", "Podagra")), graph).terms == {"podagra"}


def test_nothing_is_held_out_by_default(graph):
    assert Guard(GuardSettings(), graph).terms == frozenset()


def test_short_notes_are_left_out_but_not_the_short_last_chunk_of_a_long_one(graph):
    guard = Guard(GuardSettings(), graph)
    assert not guard.admits("p", "n_0", "word " * 49)
    assert guard.admits("p", "n_0", "word " * 50)
    assert guard.admits("p", "n_3", "word " * 11)
