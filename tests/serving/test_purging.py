"""What is removed goes out of every file; what stays is found as before; what may hold it is refused."""

import shutil

import numpy as np
import pytest
from served import Served, a_note
from tiny_store import drawn, make_notes, release_of
from world import build_world

from corpus import writing
from corpus.store import Store
from ray_jobs import purge as job
from serving import purging
from serving.manifest import open_chunks, read_manifest
from serving.purging import first_due, mend_release, purge_release
from serving.release import build_release, searchable_chunks
from serving.shard import Shard

CANARY, PATIENT = "zebracanary", "patient-zebra"


def vectors_of(texts):
    return np.random.default_rng(len(texts)).normal(size=(len(texts), 8)).astype(np.float32)


@pytest.fixture(scope="module")
def built(tmp_path_factory, unused_encoder):
    folder = tmp_path_factory.mktemp("built")
    build_world(
        folder, unused_encoder, [*make_notes(4), a_note("known", 1, f"the {CANARY} sign", PATIENT)], vectors_of, 2
    )
    return folder


@pytest.fixture
def served(built, tmp_path, unused_encoder):
    """A service whose store and release know the canary, from the release and from a note written since."""
    served = Served(built, tmp_path / "served", unused_encoder[1])
    served.write(a_note("since", 1, f"another {CANARY}", PATIENT), a_note("other", 1, "stays", "p2"))
    return served


def telling(folder):
    """Files below the folder that hold what is removed."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 10
    words = (CANARY.encode(), PATIENT.encode())
    return [file for file in files if any(word in file.read_bytes() for word in words)]


def test_no_file_holds_what_was_removed_and_the_rest_is_found(served, monkeypatch):
    monkeypatch.setattr(purging, "sleep", lambda _: served.follow())
    told = {file.relative_to(served.release.parent).parts[0] for file in telling(served.release.parent)}
    assert told == {"store", "release"}
    served.write(remove_patients=[PATIENT])
    served.follow()
    before, by_word = served.found(), served.found("kidney injury")
    assert telling(served.release.parent) != []
    assert served.purge() == 1
    assert telling(served.release.parent) == []
    assert served.found() == before == served.found(shards=served.load())
    assert served.found("kidney injury") == by_word == served.found("kidney injury", shards=served.load())
    version = served.write(a_note("after", 1, "zzz"))
    assert served.found("zzz", min_version=version, shards=served.load()) == {"after_0": "zzz"}


def test_a_release_of_codes_is_purged(served, built, unused_encoder):
    shutil.rmtree(served.release)
    store = Store(served.store.folder)
    chunks = searchable_chunks(store)
    build_release(store, chunks, unused_encoder[1], built / "release" / "encoder", drawn, served.release, 2, "sq8")
    assert {shard.index for shard in read_manifest(served.release).shards} == {"sq8"}
    served.shards = served.load()
    served.write(remove_patients=[PATIENT])
    served.follow()
    before = served.found()
    assert served.purge() == 2
    assert served.found(shards=served.load()) == before
    assert telling(served.release.parent) == []


def test_a_shard_of_too_few_rows_for_4_bit_codes_is_exact(served, built, unused_encoder):
    shutil.rmtree(served.release)
    store = Store(served.store.folder)
    chunks = searchable_chunks(store)
    build_release(store, chunks, unused_encoder[1], built / "release" / "encoder", drawn, served.release, 2, "pq4")
    shards = read_manifest(served.release).shards
    assert [shard.index for shard in shards] == ["pq4" if shard.rows >= 16 else "exact" for shard in shards]
    assert "exact" in {shard.index for shard in shards}
    assert len(served.load()) == 2


def test_a_release_from_before_a_purge_is_refused(served, tmp_path):
    shutil.copytree(served.release, tmp_path / "kept")
    served.write(remove_patients=[PATIENT])
    served.purge()
    with pytest.raises(ValueError, match="purged since the release was built"):
        Shard.load(tmp_path / "kept", 0)
    assert open_chunks(read_manifest(served.release)).version > 0
    (tmp_path / "kept" / "release.json").unlink()
    release_of(served.store.folder, served.fingerprint, served.release / "encoder", tmp_path / "new", 1)
    assert Shard.load(tmp_path / "new", 0).search


def test_a_purge_that_was_broken_off_leaves_a_release_and_is_done_again(served, monkeypatch):
    served.write(remove_patients=[PATIENT])

    def broken(path, target):
        if path.name.endswith(".purging"):
            raise OSError("killed")
        return rename(path, target)

    rename = type(served.release).rename
    monkeypatch.setattr(type(served.release), "rename", broken)
    with pytest.raises(OSError, match="killed"):
        purge_release(served.release, served.store.chunks(), served.store.removed())
    monkeypatch.undo()
    assert not served.release.exists()
    mend_release(served.release)
    assert len(served.load()) == 2
    assert served.purge() == 0
    assert telling(served.release.parent) == []


def test_a_purge_that_was_killed_while_it_waits_is_still_due(served, monkeypatch):
    def killed(_):
        raise OSError("killed")

    served.write(remove_patients=[PATIENT])
    monkeypatch.setattr(purging, "sleep", killed)
    with pytest.raises(OSError, match="killed"):
        served.purge()
    assert first_due(served.store) is not None
    monkeypatch.undo()
    served.purge()
    assert first_due(served.store) is None
    assert telling(served.release.parent) == []


def test_what_is_being_removed_while_a_purge_begins_is_gone_after_it(served, monkeypatch):
    purged = []

    def purge_now(*_):
        monkeypatch.undo()
        purged.append(served.purge())
        raise OSError("killed")  # the removal is among the removed, and nowhere else yet

    monkeypatch.setattr(writing, "replace_rows", after_removed(writing.replace_rows, served, purge_now))
    with pytest.raises(OSError, match="killed"):
        served.write(remove_patients=[PATIENT])
    assert purged == [1]
    assert telling(served.release.parent) == []
    assert served.found(shards=served.load()).keys() == {"other_0"} | {key for key in served.found() if "note-" in key}


def after_removed(replace_rows, served, happens):
    """Lance's write, before the first of another table than the removed something happens."""

    def replaced(path, *rest):
        return replace_rows(path, *rest) if path == served.store.removed_path else happens()

    return replaced


def test_vectors_of_other_encoders_forget_what_was_removed(served):
    vectors = served.store.vectors(served.fingerprint).to_table()
    served.store.begin_vectors("another", 8)
    served.store.add_vectors("another", vectors)
    served.write(remove_patients=[PATIENT])
    assert len(served.store.vectors("another").to_table()) == len(vectors)
    served.purge()
    left = served.store.vectors("another").to_table()["chunk_id"].to_pylist()
    assert sorted(left) == sorted(served.store.chunks().to_table(columns=["chunk_id"])["chunk_id"].to_pylist())


def test_a_release_of_another_store_is_refused(served, built):
    with pytest.raises(ValueError, match="not of the store that is purged"):
        purge_release(built / "release", served.store.chunks(), served.store.removed())


def test_the_job_waits_until_the_days_are_over(served, local_ray, monkeypatch, capsys):
    monkeypatch.setattr(job, "READERS_S", 0)
    settings = job.PurgeSettings(store={"path": served.store.folder}, releases=[{"path": served.release}], days=1)
    job.run(settings)
    assert "nothing was removed" in capsys.readouterr().out
    served.write(remove_patients=[PATIENT])
    job.run(settings)
    assert "nothing is due: the next purge is from" in capsys.readouterr().out
    job.run(settings.model_copy(update={"days": 0}))
    assert "1 rows taken out" in capsys.readouterr().out
    assert telling(served.release.parent) == []
    assert first_due(Store(served.store.folder)) is None
