import json

import pytest

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
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


NOTE = " ".join(f"word{'abcdefgh'[i % 8]}{'ijklm'[i % 5]}{'nopqrst'[i % 7]}" for i in range(60))


def test_ids_of_notes_and_of_encounters_leave_notes_out(tmp_path, graph):
    guard = Guard(GuardSettings(ids=write(tmp_path / "ids.txt", "\ufeff100", "", " 200 ")), graph)
    assert guard.rule_for_note("100", None, "p", NOTE) == "benchmark_id"
    assert guard.rule_for_note("n", "200", "p", NOTE) == "benchmark_id"
    assert guard.rule_for_note("n", None, "p", NOTE) is None


def test_notes_of_a_benchmark_are_left_out_by_id_and_by_text(tmp_path, graph):
    chunk = json.dumps({"_id": "300_4", "text": NOTE})
    guard = Guard(GuardSettings(benchmark=write(tmp_path / "corpus.jsonl", chunk)), graph)
    other = NOTE[::-1]
    assert guard.rule_for_note("n", "300", "p", other) == "benchmark_id"
    assert guard.rule_for_note("n", None, "p", f"{NOTE} {other}") == "near_duplicate"
    assert guard.rule_for_note("n", None, "p", other) is None


def test_the_overlap_that_counts_can_be_set(tmp_path, graph):
    benchmark = write(tmp_path / "corpus.jsonl", json.dumps({"_id": "300_4", "text": NOTE}))
    half = " ".join(NOTE.split()[:34]) + " " + NOTE[::-1]
    rules = [
        Guard(GuardSettings(benchmark=benchmark, overlap=overlap), graph).rule_for_note("n", None, "p", half)
        for overlap in (0.5, 0.6)
    ]
    assert rules == ["near_duplicate", None]


def test_notes_of_a_benchmark_patient_are_left_out(tmp_path, graph):
    guard = Guard(GuardSettings(patients=write(tmp_path / "patients.txt", "p1")), graph)
    assert guard.rule_for_note("n", None, "p1", NOTE) == "held_out_patient"
    assert guard.rule_for_note("n", None, "p2", NOTE) is None


def test_a_note_is_too_short_by_its_words_after_cleaning(graph):
    guard = Guard(GuardSettings(), graph)
    assert guard.rule_for_note("n", None, "p", "word " * 50) is None
    assert guard.rule_for_note("n", None, "p", "word " * 49) == "too_short"
    assert guard.rule_for_note("n", None, "p", "word " * 49 + "[** removed **]") == "too_short"
    assert Guard(GuardSettings(min_words=0), graph).rule_for_note("n", None, "p", "") is None


def test_every_file_that_decides_is_named(tmp_path):
    named = {name: tmp_path / name for name in ("patients", "ids", "benchmark", "terms")}
    assert GuardSettings(**named).files() == {f"guard.{name}": path for name, path in named.items()}
