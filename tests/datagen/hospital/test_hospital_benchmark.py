"""The synthetic benchmark: judgements follow from asserted mentions, and every file agrees with the others."""

import gzip
import json
import re
from pathlib import Path

import pytest

from corpus.chunking import ChunkingSettings, chunk_note
from datagen.hospital.benchmark import MATCH_TYPES, Judgement, judge, write_benchmark
from datagen.hospital.facts import world
from datagen.hospital.lexicon import Mention
from datagen.hospital.patients import generate_patient
from datagen.hospital.settings import HospitalSettings

HOSPITAL = HospitalSettings(patients=40, benchmark_patients=60, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    write_benchmark(HOSPITAL, ChunkingSettings(), folder)
    return folder


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def _corpus(folder: Path) -> dict[str, dict]:
    lines = gzip.decompress((folder / "corpus.jsonl.gz").read_bytes()).decode().splitlines()
    return {row["_id"]: row for row in map(json.loads, lines)}


def _queries(folder: Path) -> dict[str, dict]:
    return {row["_id"]: row for row in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())}


def test_same_seed_gives_the_same_files(folder, tmp_path):
    write_benchmark(HOSPITAL, ChunkingSettings(), tmp_path)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {f.name: f.read_bytes() for f in folder.iterdir()}


def test_every_match_type_is_well_populated(folder):
    stats = json.loads((folder / "STATS.json").read_text())
    assert stats["queries"] >= 150
    assert set(stats["query_types"]) == {"disease", "procedure", "drug"}
    assert min(stats["match_types"].values()) >= 50
    assert stats["evidence"]["unseen"] >= 100


def test_files_agree(folder):
    corpus, queries = _corpus(folder), _queries(folder)
    qrels, types = _rows(folder / "qrels.tsv"), _rows(folder / "match_types.tsv")
    assert [row[:2] for row in qrels] == [row[:2] for row in types]
    assert len({(q, d) for q, d, *_ in qrels}) == len(qrels)
    counts = dict.fromkeys(queries, 0)
    for query, chunk, _ in qrels:
        assert chunk in corpus
        counts[query] += 1
    assert all(0 < count <= 0.15 * len(corpus) for count in counts.values())


def test_chunks_are_those_of_the_notes_and_patients_are_not_training_patients(folder):
    corpus = _corpus(folder)
    training = {generate_patient(HOSPITAL, index).patient_id for index in range(HOSPITAL.patients)}
    assert not training & {row["patient_id"] for row in corpus.values()}
    assert (folder / "patients.txt").read_text().split() == sorted({row["patient_id"] for row in corpus.values()})
    note = generate_patient(HOSPITAL, 40).notes[0].row
    for number, chunk in enumerate(chunk_note(note["text"], ChunkingSettings())):
        assert corpus[f"{note['note_id']}_{number}"]["text"] == chunk.text


def test_string_means_that_the_query_occurs_and_implication_that_no_wording_does(folder):
    corpus, queries = _corpus(folder), _queries(folder)
    for query, chunk, match_type, _ in _rows(folder / "match_types.tsv"):
        name = queries[query]["text"]
        occurs = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", corpus[chunk]["text"], re.IGNORECASE)
        assert match_type in MATCH_TYPES
        assert occurs or match_type != "string", (name, chunk)


def test_unseen_is_what_training_may_not_show(folder):
    known = world(HOSPITAL.seed)
    queries = _queries(folder)
    for query, _, _, evidence in _rows(folder / "match_types.tsv"):
        if queries[query]["concept"] in known.held_out_concepts:
            assert evidence == "unseen"
    names = {known.everything.concepts[c].name for c in known.held_out_concepts}
    assert names <= set((folder / "held_out_terms.txt").read_text().splitlines())


def _mention(text: str, words: str, concept: str, kind: str, pattern: str = "", asserted: bool = True) -> Mention:
    return Mention(text.index(words), text.index(words) + len(words), concept, kind, pattern, asserted)


def test_the_most_explicit_mention_wins_and_broader_concepts_follow():
    text = "NSTEMI. Non-ST elevation myocardial infarction. Troponin 0.1 -> 4.2 with ST depressions."
    abbreviation = _mention(text, "NSTEMI", "nstemi", "abbreviation")
    spelled = _mention(text, "Non-ST elevation myocardial infarction", "nstemi", "name")
    implied = _mention(text, "Troponin 0.1 -> 4.2 with ST depressions", "nstemi", "implication", "nstemi/0")

    def types(*mentions: Mention) -> dict[str, str]:
        return {concept: judgement.match_type for concept, judgement in judge(world(0), text, list(mentions)).items()}

    assert types(implied) == {"nstemi": "implication", "myocardial_infarction": "implication"}
    assert types(implied, abbreviation) == {"nstemi": "abbreviation", "myocardial_infarction": "hyponym"}
    assert types(implied, abbreviation, spelled) == {"nstemi": "string", "myocardial_infarction": "string"}


def test_a_denied_or_inherited_mention_is_not_relevant():
    text = "No gout. Mother had gout."
    assert judge(world(0), text, [_mention(text, "gout", "gout", "name", asserted=False)]) == {}


def test_a_held_out_pattern_is_unseen_for_a_seen_concept():
    known = world(0)
    concept, pattern = next(
        (c.concept_id, pattern)
        for c, pattern in known.everything.patterns()
        if pattern in known.held_out_patterns and c.concept_id not in known.held_out_concepts
    )
    mention = Mention(0, 4, concept, "implication", pattern, True)
    assert judge(known, "text", [mention])[concept] == Judgement("implication", seen=False)
