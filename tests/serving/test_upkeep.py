"""A store that is written into for long stays in few files, indexed, without versions that nobody reads."""

from datetime import timedelta

import pytest
from served import Served, a_note, build_served

from serving import upkeep
from serving.upkeep import tidy


@pytest.fixture
def written(tmp_path, unused_encoder):
    built = build_served(tmp_path / "built", unused_encoder)
    served = Served(built, tmp_path / "served", unused_encoder[1])
    for number in range(12):
        served.write(a_note(f"new{number}", 1, f"word{number} zzz"))
    return served


def test_files_are_few_and_every_row_is_indexed(written):
    before = written.found("zzz", min_version=written.store.chunks().version)
    assert len(before) == 12
    assert len(written.store.chunks().get_fragments()) > 12
    tidy(written.store)
    chunks = written.store.chunks()
    assert len(chunks.get_fragments()) <= 2
    (index,) = chunks.describe_indices()
    assert index.num_rows_indexed == chunks.count_rows()
    assert written.found("zzz") == before
    written.follow()
    assert written.found("zzz") == before == written.found("zzz", shards=written.load())


def test_versions_that_a_job_may_still_read_are_kept_and_others_go(written, monkeypatch):
    first = written.store.chunks().versions()[0]["version"]
    tidy(written.store)
    assert written.store.chunks().checkout_version(first).count_rows() > 0
    monkeypatch.setattr(upkeep, "KEPT", timedelta(0))
    tidy(written.store)
    assert [each["version"] for each in written.store.chunks().versions()] == [written.store.chunks().version]
