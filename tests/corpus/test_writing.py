"""A store in service: whatever comes and wherever the writer dies, chunks and vectors are the notes'."""

import shutil

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import writing
from corpus.chunking import ChunkingSettings, chunk_note
from corpus.store import Store
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA, bucket_of
from corpus.writing import Changes, StoreWriter

FINGERPRINT = "f1"
CHUNKING = ChunkingSettings(words=3, overlap=1)


def encode(texts):
    """Vectors that know their text."""
    return np.array([[len(text), sum(map(ord, text))] for text in texts], np.float32)


def a_note(note_id="n", version=1, text="one two three four five", patient="p"):
    fixed = {"encounter_id": None, "note_type": "progress note", "note_time": None, "source": "ward"}
    return {"note_id": note_id, "version": version, "patient_id": patient, "text": text, **fixed}


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    store.write_notes([])
    store.write_chunks([], CHUNKING)
    store.begin_vectors(FINGERPRINT, 2)
    return store


@pytest.fixture
def store(empty_store, tmp_path):
    return Store(shutil.copytree(empty_store.folder, tmp_path / "store"))


def write(store, *notes, **removed):
    return StoreWriter(store, {FINGERPRINT: encode}).write(Changes(notes, **removed))


def assert_holds(store, notes):
    """Notes, chunks and vectors are exactly those of `notes`."""
    assert {row["note_id"]: row for row in store.notes().to_table().to_pylist()} == {n["note_id"]: n for n in notes}
    expected = {
        f"{note['note_id']}_{i}": {
            **note,
            **span._asdict(),
            "chunk_id": f"{note['note_id']}_{i}",
            "bucket": bucket_of(note["patient_id"]),
        }
        for note in notes
        for i, span in enumerate(chunk_note(note["text"], CHUNKING))
    }
    rows = store.chunks().to_table().to_pylist()
    assert len(rows) == len(expected)
    assert {row["chunk_id"]: row for row in rows} == expected
    vectors = store.vectors(FINGERPRINT).to_table().to_pylist()
    assert len(vectors) == len(expected)
    for row in vectors:
        chunk = expected[row["chunk_id"]]
        assert row["version"] == chunk["version"]
        assert row["vector"] == encode([chunk["text"]])[0].tolist()


def texts(store):
    return {row["note_id"]: row["text"] for row in store.notes().to_table().to_pylist()}


def test_notes_come_grow_and_shrink(store):
    write(store, a_note("a"), a_note("b", text="short"))
    assert_holds(store, [a_note("a"), a_note("b", text="short")])
    grown, shrunk = a_note("b", 2, "now of seven words in three chunks"), a_note("a", 2, "one")
    write(store, grown, shrunk)
    assert_holds(store, [grown, shrunk])


def test_the_version_it_returns_holds_the_change(store):
    first = write(store, a_note(text="old"))
    second = write(store, a_note(version=2, text="new"))
    found = [
        lance.dataset(store.chunks_path, version=version).to_table()["text"].to_pylist() for version in (first, second)
    ]
    assert found == [["old"], ["new"]]


def test_an_older_or_the_same_version_changes_nothing(store):
    version = write(store, a_note(version=5, text="five"))
    assert write(store, a_note(version=4, text="four")) == version
    assert write(store, a_note(version=5, text="another five")) == version
    assert_holds(store, [a_note(version=5, text="five")])


def test_of_one_note_in_a_group_the_newest_counts(store):
    write(store, a_note(version=2, text="two"), a_note(version=3, text="three"), a_note(version=1, text="one"))
    assert_holds(store, [a_note(version=3, text="three")])


def test_a_note_moves_to_another_patient(store):
    write(store, a_note())
    write(store, a_note(version=2, patient="q"))
    assert_holds(store, [a_note(version=2, patient="q")])


def test_a_note_and_a_patient_are_removed(store):
    write(store, a_note("a"), a_note("b"), a_note("c", patient="q"), a_note("d", patient="r"))
    write(store, remove_notes=["a", "unknown"], remove_patients=["q"])
    assert_holds(store, [a_note("b"), a_note("d", patient="r")])
    write(store, remove_patients=["p", "r"])
    assert_holds(store, [])


def test_a_removed_note_does_not_come_back_by_an_older_version(store):
    write(store, a_note(version=3))
    write(store, remove_notes=["n"])
    write(store, a_note(version=3), a_note(version=2))
    assert_holds(store, [])
    write(store, a_note(version=4, text="written anew"))
    assert_holds(store, [a_note(version=4, text="written anew")])


def test_a_removal_of_an_older_version_does_not_forget_that_of_a_later_one(store):
    write(store, a_note(version=3))
    write(store, remove_notes=["n"])
    write(store, a_note(version=1), remove_notes=["n"])
    write(store, a_note(version=2))
    assert_holds(store, [])


def test_a_note_that_a_group_brings_and_removes_is_removed(store):
    write(store, a_note("a", 2), a_note("b", patient="q"), remove_notes=["a"], remove_patients=["q"])
    assert_holds(store, [])
    write(store, a_note("a", 1), a_note("b", patient="q"))
    assert_holds(store, [])


def test_a_note_that_leaves_a_patient_in_the_group_that_removes_him_stays(store):
    write(store, a_note(patient="q"))
    write(store, a_note(version=2, patient="p"), remove_patients=["q"])
    assert_holds(store, [a_note(version=2, patient="p")])


def test_what_a_group_removes_in_an_old_version_stays_in_the_new_one(store):
    write(store, a_note(version=5))
    write(store, a_note(version=3, patient="q"), remove_patients=["q"])
    assert_holds(store, [a_note(version=5)])


def test_a_note_of_which_cleaning_leaves_nothing_has_no_chunks_and_says_so(store):
    write(store, a_note(text="was here"))
    blank = a_note(version=2, text="[** removed **]")
    write(store, blank)
    assert_holds(store, [blank])
    (removed,) = store.removed().to_table().to_pylist()
    assert (removed["note_id"], removed["version"]) == ("n", 1)
    write(store, a_note(version=3, text="back"))
    assert_holds(store, [a_note(version=3, text="back")])


@pytest.mark.parametrize("note_id", ["it's", "a' OR '1'='1", 'quo"te', "back\\slash", "%", "nul\x00", "é\n"])
def test_ids_are_no_syntax(store, note_id):
    write(store, a_note("other"), a_note(note_id))
    write(store, a_note(note_id, 2, "changed"))
    write(store, remove_notes=[note_id])
    assert_holds(store, [a_note("other")])


def test_changes_of_notes_that_are_anothers_by_now_are_outdated(store):
    write(store, a_note("a"), a_note("b", patient="q"))
    writer = StoreWriter(store, {})
    both = [a_note("a", 2, patient="r"), a_note("new")]
    assert not writer.is_outdated(Changes(both, seen={"a": "p"}))
    assert not writer.is_outdated(Changes(both))
    assert not writer.is_outdated(Changes(remove_patients=["p"], seen={}))
    assert not writer.is_outdated(Changes(remove_notes=["gone"], seen={"gone": "p"}))
    assert writer.is_outdated(Changes(both, seen={"a": "q"}))
    assert writer.is_outdated(Changes(both, seen={}))
    assert writer.is_outdated(Changes(remove_notes=["b"], seen={"b": "p"}))


def test_changes_that_come_again_are_not_outdated_by_themselves(store):
    changes = Changes([a_note("a", patient="r")], seen={})
    writer = StoreWriter(store, {})
    write(store, *changes.notes)
    assert not writer.is_outdated(changes)


def test_at_every_moment_the_chunks_have_the_vectors_of_their_versions(store):
    def look(*args):
        replace(*args)
        rows = store.chunks().to_table(columns=["chunk_id", "version"]).to_pylist()
        vectors = store.vectors(FINGERPRINT).to_table(columns=["chunk_id", "version"]).to_pylist()
        assert all(row in vectors for row in rows)
        looked.append(len(rows))

    looked, replace = [], writing.replace_rows
    writing.replace_rows = look
    try:
        write(store, a_note("a"), a_note("b"))
        write(store, a_note("a", 2, "other"), remove_notes=["b"])
    finally:
        writing.replace_rows = replace
    assert (4 in looked, looked[-1]) == (True, 1)


def test_without_vectors_nothing_is_written(store):
    def failing(texts):
        raise OSError("no encoder")

    write(store, a_note("a"))
    writer = StoreWriter(store, {FINGERPRINT: failing})
    with pytest.raises(OSError, match="no encoder"):
        writer.write(Changes([a_note("b")], remove_notes=["a"]))
    assert_holds(store, [a_note("a")])


def test_a_store_whose_vectors_lag_behind_is_mended_first(store):
    store.write_notes(batches_of([a_note("a"), a_note("b", 2)], NOTE_SCHEMA))
    stale = {**a_note("b", 1), "chunk_id": "b_0", "char_start": 0, "char_end": 3, "bucket": 0}
    store.write_chunks(batches_of([stale], CHUNK_SCHEMA), CHUNKING)
    write(store, a_note("c"))
    assert_holds(store, [a_note("a"), a_note("b", 2), a_note("c")])


def batches_of(rows, schema):
    return pa.Table.from_pylist(rows, schema=schema).to_batches()


NAMES, PATIENTS = st.sampled_from(["a", "b", "c"]), st.sampled_from(["p", "q"])
NOTES = st.builds(
    a_note,
    note_id=NAMES,
    version=st.integers(0, 4),
    text=st.sampled_from(["one", "[x]", "two words", "one two three four", "a b c d e f g h"]),
    patient=PATIENTS,
)
GROUPS = st.builds(
    Changes,
    st.lists(NOTES, max_size=4),
    st.lists(NAMES, max_size=1),
    st.lists(PATIENTS, max_size=1),
)


def apply(group, notes, removed):
    """What `write` is to do, on dictionaries."""
    coming = {}
    for note in sorted(group.notes, key=lambda note: note["version"]):
        coming[note["note_id"]] = note
    for note in [*notes.values(), *coming.values()]:
        if note["note_id"] in group.remove_notes or note["patient_id"] in group.remove_patients:
            removed[note["note_id"]] = max(note["version"], removed.get(note["note_id"], -1))
    for name in list(notes):
        if notes[name]["version"] <= removed.get(name, -1):
            del notes[name]
    for name, note in coming.items():
        if note["version"] > max(notes[name]["version"] if name in notes else -1, removed.get(name, -1)):
            notes[name] = note


def check_any_history(history, empty_store, folder):
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(shutil.copytree(empty_store.folder, folder))
    notes, removed = {}, {}
    writer = StoreWriter(store, {FINGERPRINT: encode})
    for group, dies_at in history:
        try:
            with Dying(dies_at):
                writer.write(group)
        except KilledError:
            writer = StoreWriter(store, {FINGERPRINT: encode})
            writer.mend()
            assert_holds(store, store.notes().to_table().to_pylist())
            writer.write(group)
        apply(group, notes, removed)
        assert_holds(store, notes.values())


class KilledError(Exception):
    pass


class Dying:
    """Within the block the writer dies before its commit number `at`."""

    def __init__(self, at):
        self.left = at

    def __enter__(self):
        self.replace, writing.replace_rows = writing.replace_rows, self.commit

    def __exit__(self, *_):
        writing.replace_rows = self.replace

    def commit(self, *args):
        if self.left == 0:
            raise KilledError
        self.left -= 1
        self.replace(*args)


HISTORIES = st.lists(st.tuples(GROUPS, st.integers(0, 8)), min_size=1, max_size=5)
UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=12, deadline=None, suppress_health_check=UNHURRIED)
@given(history=HISTORIES)
def test_any_history(history, empty_store, tmp_path):
    check_any_history(history, empty_store, tmp_path / "store")


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=500, deadline=None, suppress_health_check=UNHURRIED)
@given(history=HISTORIES)
def test_any_of_many_histories(history, empty_store, tmp_path):
    check_any_history(history, empty_store, tmp_path / "store")
