import json

import pytest

from corpus.chunking import ChunkingSettings
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
from corpus.store import Store
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.builtin import read_builtin
from datagen.guard import Guard, GuardSettings
from datagen.record_files import RECORDS_FILE, generate_entities, match_entities
from datagen.stage1 import Stage1Settings

pytestmark = pytest.mark.usefixtures("local_ray")

TEXTS = {
    "sick": "Admitted with acute pneumonia and hypertension. Denies chest pain. Metformin 1000 mg BID, HbA1c 9.1%.",
    "well": "Lorem ipsum dolor sit amet.",
    "guarded": "Known pneumonia.",
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    build_graph(read_builtin(), folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("store")
    notes = folder / "notes.jsonl"
    rows = [{"note_id": name, "patient_id": name, "text": text} for name, text in TEXTS.items()]
    notes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare_corpus(NotesSettings(path=str(notes)), ChunkingSettings(), folder, ignore_progress)
    return Store(folder)


def ignore_progress(name, done, total):
    pass


def guard(tmp_path, graph, *patients, terms=(), min_words=0):
    (tmp_path / "patients.txt").write_text("".join(f"{patient}\n" for patient in patients))
    (tmp_path / "terms.txt").write_text("".join(f"{term}\n" for term in terms))
    settings = GuardSettings(patients=tmp_path / "patients.txt", terms=tmp_path / "terms.txt", min_words=min_words)
    return Guard(settings, BuiltGraph.open(graph))


def read(folder):
    return [json.loads(line) for line in (folder / RECORDS_FILE).read_text().splitlines()]


def test_stage_1_matches_and_expands_what_the_passage_asserts(store, graph, tmp_path):
    counts = match_entities(
        store, graph, Stage1Settings(), guard(tmp_path, graph, "guarded"), tmp_path, ignore_progress
    )
    (record,) = read(tmp_path)
    assert counts == {
        "notes": 3,
        "left_out_held_out_patient": 1,
        "chunks": 2,
        "records": 1,
        "entities": len(record["entities"]),
    }
    assert (record["idx"], record["text"]) == ("sick_0", TEXTS["sick"])
    matched = {term for term, how in zip(record["entities"], record["provenance"], strict=True) if how == "match"}
    assert {"pneumonia", "hypertension", "metformin"} <= matched
    assert "chest pain" not in record["entities"]
    assert set(record["provenance"]) - {"match"}


def test_stage_1_adds_notes_told_again_and_lists_of_terms_where_it_is_told_to(store, graph, tmp_path):
    settings = Stage1Settings.model_validate({"rewriting": {"copies": 2}, "term_lists": {"number": 3}})
    admitted = guard(tmp_path, graph, "guarded")
    counts = match_entities(store, graph, settings, admitted, tmp_path, ignore_progress)
    records = read(tmp_path)
    of_notes = [record["idx"] for record in records[:-3]]
    assert of_notes[0] == "sick_0"
    assert set(of_notes[1:]) <= {"sick~1_0", "sick~2_0"}
    assert [record["idx"] for record in records[-3:]] == ["~list_0", "~list_1", "~list_2"]
    assert counts["records"] == len(records)
    assert counts["entities"] == sum(len(record["entities"]) for record in records)
    assert counts["chunks"] == 6, "each copy has the chunks of its note"


def test_stage_2_adds_what_is_implied(store, graph, tmp_path):
    generate_entities(store, graph, None, guard(tmp_path, graph, "guarded"), tmp_path, ignore_progress)
    (record,) = read(tmp_path)
    assert "type 2 diabetes mellitus" in [entity.lower() for entity in record["entities"]]
    assert set(record["provenance"]) == {"rule"}


def test_held_out_terms_never_become_entities(store, graph, tmp_path):
    held_out = guard(tmp_path, graph, terms=["pneumonia"])
    match_entities(store, graph, Stage1Settings(), held_out, tmp_path, ignore_progress)
    names = BuiltGraph.open(graph).terms_of(BuiltGraph.open(graph).concepts_of("pneumonia")[0])
    assert len(names) > 1
    assert read(tmp_path)
    assert not [record for record in read(tmp_path) if {*names} & {*record["entities"]}]


def test_a_corpus_with_no_match_at_all_is_refused(store, graph, tmp_path):
    nobody = guard(tmp_path, graph, "sick", "guarded")
    with pytest.raises(ValueError, match=r"none of 1 chunks of .* gave a training record .*held_out_patient': 2"):
        match_entities(store, graph, Stage1Settings(), nobody, tmp_path, ignore_progress)
    lists = Stage1Settings.model_validate({"term_lists": {"number": 3}})
    with pytest.raises(ValueError, match="none of 1 chunks"):
        match_entities(store, graph, lists, nobody, tmp_path, ignore_progress)


def test_the_nearest_profile_counts_terms_in_the_store(store, graph, tmp_path):
    nearest = Stage1Settings.model_validate({"expansion": {"profile": "nearest"}})
    match_entities(store, graph, nearest, guard(tmp_path, graph), tmp_path, ignore_progress)
    assert {record["idx"] for record in read(tmp_path)} == {"sick_0", "guarded_0"}


def test_chunks_have_the_ids_and_texts_of_the_store(store, graph, tmp_path):
    match_entities(store, graph, Stage1Settings(), guard(tmp_path, graph), tmp_path, ignore_progress)
    chunks = dict(zip(*store.chunks().to_table(columns=["chunk_id", "text"]).to_pydict().values(), strict=True))
    assert {record["idx"]: record["text"] for record in read(tmp_path)}.items() <= chunks.items()
