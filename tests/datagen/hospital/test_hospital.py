"""The synthetic hospital: what it writes is reproducible, hangs together, and agrees with its own truth."""

import random
import re
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.tables import NOTE_SCHEMA
from datagen.hospital.facts import HELD_OUT_SHARE, load_facts, world
from datagen.hospital.lexicon import Lexicon, Wording
from datagen.hospital.patients import Patient, generate_patient, patient_id, write_notes
from datagen.hospital.settings import HospitalSettings
from datagen.hospital.writer import pieces

HOSPITAL = HospitalSettings(patients=300, benchmark_patients=20, seed=3)


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [generate_patient(HOSPITAL, index) for index in range(320)]


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    write_notes(HOSPITAL, 295, 305, tmp_path / "here.parquet")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(write_notes, HOSPITAL, 295, 305, tmp_path / "there.parquet").result()
    assert (tmp_path / "here.parquet").read_bytes() == (tmp_path / "there.parquet").read_bytes()


def test_a_patient_does_not_depend_on_how_many_there_are():
    more = HOSPITAL.model_copy(update={"patients": 5000})
    assert generate_patient(HOSPITAL, 12) == generate_patient(more, 12)
    assert generate_patient(HOSPITAL, 12) != generate_patient(HOSPITAL.model_copy(update={"seed": 4}), 12)


def test_an_index_outside_the_hospital_is_refused():
    with pytest.raises(ValueError, match=r"320 is outside 0\.\.319"):
        generate_patient(HOSPITAL, 320)


def test_notes_follow_the_schema_with_plausible_lengths(patients, tmp_path):
    write_notes(HOSPITAL, 0, 20, tmp_path / "notes.parquet")
    table = pq.read_table(tmp_path / "notes.parquet")
    assert table.schema.equals(NOTE_SCHEMA)
    notes = [note.row for patient in patients for note in patient.notes]
    assert len({note["note_id"] for note in notes}) == len(notes)
    assert {note["note_type"] for note in notes} == {
        "discharge summary",
        "progress note",
        "clinic letter",
        "radiology report",
        "medication list",
    }
    assert all(1 <= len(patient.notes) <= 12 for patient in patients)
    lengths = sorted(len(note["text"].split()) for note in notes)
    assert lengths[0] > 40
    assert 100 < lengths[len(lengths) // 2] < 250
    assert lengths[-1] < 550


def test_notes_are_in_order_of_time(patients):
    for patient in patients:
        assert all(a.row["note_time"] <= b.row["note_time"] for a, b in pairwise(patient.notes))


def test_nothing_is_left_unfilled(patients):
    for patient in patients:
        for note in patient.notes:
            assert not re.search(r"[{}]", note.row["text"])


@pytest.mark.parametrize("seed", [0, 3, 11, 19])
def test_held_out_wordings_and_patterns_never_occur_in_training(seed):
    hospital = HOSPITAL.model_copy(update={"seed": seed})
    known = world(seed)
    concepts = known.everything.concepts
    assert len(known.held_out_concepts) == pytest.approx(HELD_OUT_SHARE * len(concepts), abs=2)
    terms = {wording.text for c in known.held_out_concepts for wording in concepts[c].wordings()}
    longest_first = sorted(map(re.escape, terms), key=len, reverse=True)
    held_out = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)
    for index in range(150):
        for note in generate_patient(hospital, index).notes:
            found = held_out.search(note.row["text"])
            assert not found, found.group()
            for mention in note.mentions:
                assert mention.concept not in known.held_out_concepts
                assert mention.pattern not in known.held_out_patterns


def test_benchmark_patients_show_held_out_concepts_and_patterns(patients):
    known = world(HOSPITAL.seed)
    mentions = [m for patient in patients[300:] for note in patient.notes for m in note.mentions]
    assert {m.concept for m in mentions} & known.held_out_concepts
    assert {m.pattern for m in mentions} & known.held_out_patterns


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 3), index=st.integers(0, 319))
def test_spans_point_at_the_words_they_claim(seed, index):
    facts = load_facts()
    wordings = {c: {w.text.lower(): w.kind for w in concept.wordings()} for c, concept in facts.concepts.items()}
    patient = generate_patient(HOSPITAL.model_copy(update={"seed": seed}), index)
    assert patient.patient_id == patient_id(index)
    for note in patient.notes:
        for mention in note.mentions:
            text = note.row["text"][mention.start : mention.end]
            assert text == text.strip()
            assert text
            if mention.pattern:
                assert mention.kind == "implication"
                assert "/drug:" in mention.pattern or text.lower() not in wordings[mention.concept]
            elif mention.kind == "synonym":
                known = wordings[mention.concept]
                assert text.lower() in known or any(abs(len(word) - len(text)) <= 1 for word in known)
            else:
                assert wordings[mention.concept][text.lower()] == mention.kind


def test_every_wording_in_a_note_is_a_mention(patients):
    facts = load_facts()
    for patient in patients[:40] + patients[300:]:
        for note in patient.notes:
            spans = {(m.start, m.end) for m in note.mentions}
            for found in facts.lexicon.scan(note.row["text"]):
                assert any(a <= found.start and found.end <= b for a, b in spans), found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 3), index=st.integers(0, 319))
def test_patients_hang_together(seed, index):
    """One sex throughout, and no two chronic diseases that exclude each other."""
    facts = load_facts()
    patient = generate_patient(HOSPITAL.model_copy(update={"seed": seed}), index)
    text = " ".join(note.row["text"] for note in patient.notes)
    mentioned = {m.concept for note in patient.notes for m in note.mentions if m.asserted}
    woman, man = (re.search(words, text) for words in (r"\b(Ms\.|woman)", r"\b(Mr\.|man)\b"))
    assert not (woman and man)
    assert not (woman and any(facts.concepts[c].sex == "M" for c in mentioned))
    assert not (man and any(facts.concepts[c].sex == "F" for c in mentioned))
    chronic = {c for c in mentioned if facts.concepts[c].course == "chronic"}
    assert not [c for c in chronic if chronic & set(facts.concepts[c].excludes)]


def test_denied_and_inherited_mentions_are_not_asserted(patients):
    denials = re.compile(r"(?:denies|ROS neg for|no e/o|FHx:|[Nn]o family history of|FH neg for) $")
    seen = 0
    for patient in patients:
        for note in patient.notes:
            for mention in note.mentions:
                if denials.search(note.row["text"][: mention.start]):
                    assert not mention.asserted
                    seen += 1
    assert seen > 100


def test_a_drug_with_one_indication_comes_with_its_disease(patients):
    facts = load_facts()
    checked = 0
    for patient in patients:
        asserted = {m.concept for note in patient.notes for m in note.mentions if m.asserted}
        for drug in (facts.concepts[c] for c in asserted):
            if drug.indicates and facts.users[drug.concept_id] == {drug.indicates}:
                assert drug.indicates in asserted
                checked += 1
    assert checked > 50


def test_two_concepts_may_not_share_a_wording():
    with pytest.raises(ValueError, match="'AF' is a wording of both a and b"):
        Lexicon([Wording("af", "a", "name"), Wording("AF", "b", "abbreviation")])


def test_the_longest_wording_wins():
    lexicon = Lexicon([Wording("hypertension", "h", "name"), Wording("pulmonary hypertension", "p", "name")])
    assert [found.concept for found in lexicon.scan("Pulmonary Hypertension, not hypertensions")] == ["p"]


def test_choices_nest_and_unbalanced_braces_are_refused():
    texts = {"".join(map(str, pieces("{a {b|c}|d}", random.Random(n)))) for n in range(50)}
    assert texts == {"a b", "a c", "d"}
    with pytest.raises(ValueError, match="unbalanced"):
        list(pieces("a}", random.Random(0)))


def test_every_link_of_the_facts_leads_to_a_concept():
    facts = load_facts()
    linking = ("is_a", "more_with", "needs", "excludes", "symptoms", "drugs", "keeps", "procedures", "leaves", "avoid")
    for concept in facts.concepts.values():
        linked = {linked for field in linking for linked in getattr(concept, field)} | {concept.indicates} - {None}
        assert linked <= facts.concepts.keys(), concept.concept_id


def test_no_pattern_names_the_concept_that_it_should_only_imply():
    facts = load_facts()
    for concept, pattern in facts.patterns():
        named = facts.lexicon.concepts_in(pattern)
        assert concept.concept_id not in named.union(*(facts.ancestors(c) for c in named)), pattern
