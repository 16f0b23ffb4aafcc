"""A shard follows its store: after any changes it answers as one that is built anew, and as brute force does."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import VECTOR, Served, a_note, build_served
from world import ALL, World, rows_of

from corpus import writing
from corpus.writing import Changes
from serving import purging
from serving import shard as shard_module
from serving.protocol import Filters
from serving.scope import Scope
from serving.shard import NARROW_ROWS, ShardQuery
from serving.upkeep import tidy

EVERYTHING = ShardQuery("", VECTOR, "dense", ALL, Filters())


@pytest.fixture(scope="module")
def built(tmp_path_factory, unused_encoder):
    return build_served(tmp_path_factory.mktemp("built"), unused_encoder)


@pytest.fixture
def served(built, tmp_path, unused_encoder):
    return Served(built, tmp_path / "served", unused_encoder[1])


def test_a_new_note_is_found_by_the_next_search_that_names_its_version(served):
    version = served.write(a_note())
    assert served.found("zzz") == {}
    assert served.found("zzz", min_version=version) == {"new_0": "w01 zzz"}
    assert {shard.version for shard in served.shards} == {version}


def test_a_changed_note_is_found_by_its_new_words_alone(served):
    served.write(a_note("n3", 2, "zzz"))
    for shard in served.shards:
        shard.follow()
    assert served.found("zzz") == {"n3_0": "zzz"}
    assert served.found()["n3_0"] == "zzz"
    assert len(served.found()) == 60


def test_a_note_that_shrinks_or_cleans_to_nothing_leaves_nothing_behind(served):
    served.write(a_note("n3", 2, " ".join(["zzz"] * 40)))
    version = served.write(a_note("n3", 3, "yyy"), a_note("n4", 2, "[** gone **]"))
    assert served.found("yyy", min_version=version) == {"n3_0": "yyy"}
    assert served.found("zzz") == {}
    assert not [chunk for chunk in served.found() if chunk.startswith("n4_")]


def test_a_note_that_moves_to_another_patient_is_found_there_alone(served):
    by_shard = [{content["patient_id"] for content in contents(shard)} for shard in served.shards]
    here, there = sorted(by_shard[0])[0], sorted(by_shard[1])[0]
    served.write(a_note(patient=here))
    version = served.write(a_note(version=2, patient=there))
    assert served.found(min_version=version, scope=Scope("here", frozenset([here]))).keys().isdisjoint({"new_0"})
    assert "new_0" in served.found(scope=Scope("there", frozenset([there])))


def test_words_of_notes_that_the_index_lacks_yet_are_not_ahead_of_the_best(served, monkeypatch):
    monkeypatch.setattr(shard_module, "NARROW_ROWS", 0)
    served.write(*(a_note(f"more{n}", 1, "zzz " + "w01 " * (n % 9), f"p{n}") for n in range(200)))
    served.follow()
    query = ShardQuery("zzz", VECTOR, "hybrid", 20, Filters())
    found = [shard.search([query])[0] for shard in served.shards]
    alone = [shard.search([replace(query, vector=None, mode="lexical")])[0] for shard in served.shards]
    assert [each.lexical.max(initial=0) for each in found] == [each.lexical.max(initial=0) for each in alone]


def contents(shard):
    found = shard.search([EVERYTHING])[0]
    return shard.fetch([rows_of(found)])[0]


def test_what_is_removed_is_gone_from_search_and_contents(served):
    rows = [rows_of(shard.search([EVERYTHING])[0]) for shard in served.shards]
    version = served.write(remove_notes=["n1"], remove_patients=["big"])
    left = served.found(min_version=version)
    assert len(left) == 60 - 10
    assert not {f"n{i}_0" for i in range(10)} & left.keys()
    served.write(a_note())
    for shard in served.shards:
        shard.follow()
    texts = [content for shard, ids in zip(served.shards, rows, strict=True) for content in shard.fetch([ids])[0]]
    assert texts.count(None) == 10


def test_contents_of_a_search_that_began_before_are_there_after_a_removal(served):
    (shard,) = [each for each in served.shards if "n1" in {content["note_id"] for content in contents(each)}]
    rows = rows_of(shard.search([EVERYTHING])[0])
    served.write(remove_notes=["n1"])
    shard.follow()
    assert None not in shard.fetch([rows])[0]


def test_contents_are_those_of_the_version_that_was_found(served):
    served.write(a_note(text="old words"))
    for shard in served.shards:
        shard.follow()
    (shard,) = [each for each in served.shards if "new" in {content["note_id"] for content in contents(each)}]
    found = rows_of(shard.search([EVERYTHING])[0])
    served.write(a_note(version=2, text="new words", patient="p2"))
    shard.follow()
    served.write(a_note(version=3, text="newest words"))
    shard.follow()
    fetched = shard.fetch([found])[0]
    assert fetched.count(None) == 1
    assert "new" not in {content["note_id"] for content in fetched if content}


def test_a_removal_whose_chunks_are_not_yet_gone_is_final(served, monkeypatch):
    """A shard that follows between the two commits of a removal never sees the note again."""
    served.write(a_note("n3", 2, "zzz"))
    replace = writing.replace_rows

    def followed_before_the_chunks(path, *args):
        if path == served.store.chunks_path:
            for shard in served.shards:
                shard.follow()
        replace(path, *args)

    monkeypatch.setattr(writing, "replace_rows", followed_before_the_chunks)
    version = served.write(remove_notes=["n3"])
    assert "n3_0" not in served.found(min_version=version)
    assert served.found("zzz") == {}


def test_a_known_patient_is_unknown_once_everything_is_removed_or_out_of_scope(served):
    def known(**fields):
        query = ShardQuery("", VECTOR, "dense", 5, Filters(patient_ids=["big", other, "nobody"]), **fields)
        return sum(shard.search([query])[0].patients_known for shard in served.shards)

    other = next(each["patient_id"] for each in contents(served.shards[0]) if each["patient_id"] != "big")
    assert known() == 2
    assert known(scope=Scope("other", frozenset([other]))) == 1
    version = served.write(remove_patients=["big"])
    assert known(min_version=version) == 1


def test_a_store_that_was_written_anew_is_not_followed(served):
    served.store.write_notes([])
    with pytest.raises(ValueError, match="written anew since the release was built"):
        served.shards[0].follow()


NOTES = st.builds(
    a_note,
    note_id=st.sampled_from(["n1", "n2", "n30", "new"]),
    version=st.integers(1, 4),
    text=st.sampled_from(["w01", "w02 w03", "[x]", " ".join(f"w{i:02}" for i in range(30))]),
    patient=st.sampled_from(["big", "p1", "p2", "p3"]),
)
GROUPS = st.builds(
    Changes,
    st.lists(NOTES, max_size=3),
    st.lists(st.sampled_from(["n1", "n5", "new"]), max_size=1),
    st.lists(st.sampled_from(["big", "p1"]), max_size=1),
)
SCOPES = st.none() | st.frozensets(st.sampled_from(["big", "p1", "p2"])).map(
    lambda each: Scope(str(sorted(each)), each)
)


def check_any_history(served, history, scope, narrow, monkeypatch):
    monkeypatch.setattr(shard_module, "NARROW_ROWS", narrow)
    monkeypatch.setattr(purging, "sleep", lambda _: served.follow())
    for group, then in history:
        served.writer.write(group)
        if then == "follow":
            served.follow()
        elif then == "purge":
            served.purge()
        elif then == "tidy":
            tidy(served.store)
    head = served.store.chunks().version
    for shards in (served.shards, served.load()):
        world = World.of(served.store, served.fingerprint, shards)
        for mode, text in (("dense", ""), ("lexical", "w01 w05"), ("hybrid", "w02")):
            vector = None if mode == "lexical" else VECTOR
            query = ShardQuery(text, vector, mode, ALL, Filters(), scope=scope, min_version=head)
            found, expected = world.search(query, ALL), world.brute_force(query)
            assert sorted(content["chunk_id"] for _, content in found) == sorted(chunk for _, chunk in expected)
            if mode == "dense":
                np.testing.assert_allclose([s for s, _ in found], [s for s, _ in expected], rtol=1e-4, atol=1e-5)


UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
HISTORIES = st.lists(st.tuples(GROUPS, st.sampled_from(["", "follow", "purge", "tidy"])), min_size=1, max_size=5)


@settings(max_examples=5, deadline=None, suppress_health_check=UNHURRIED)
@given(history=HISTORIES, scope=SCOPES, narrow=st.sampled_from([0, 20, NARROW_ROWS]))
def test_any_history(built, tmp_path, unused_encoder, monkeypatch, history, scope, narrow):
    check_any_history(Served(built, tmp_path / "any", unused_encoder[1]), history, scope, narrow, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(max_examples=500, deadline=None, suppress_health_check=UNHURRIED)
@given(history=HISTORIES, scope=SCOPES, narrow=st.sampled_from([0, 20, NARROW_ROWS]))
def test_any_of_many_histories(built, tmp_path, unused_encoder, monkeypatch, history, scope, narrow):
    check_any_history(Served(built, tmp_path / "any", unused_encoder[1]), history, scope, narrow, monkeypatch)
