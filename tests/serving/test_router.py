"""The router over real shards whose replicas die, hang or fail on command."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from in_process import searching
from ray.exceptions import ActorDiedError
from tiny_store import make_notes, release_of, write_store
from world import rows_of

from serving import router as router_module
from serving.manifest import read_manifest
from serving.protocol import Filters, SearchOptions
from serving.router import Router, RouterSettings, Search
from serving.shard import Shard, ShardQuery

VECTOR = np.ones(8, np.float32) / np.sqrt(8)


class Method:
    """A handle's method: `faults` are consumed one a call, "dead" raises, "hang" never answers."""

    def __init__(self, answer):
        self.answer = answer
        self.faults = []
        self.calls = 0

    async def remote(self, *args):
        self.calls += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "dead":
            raise ActorDiedError
        if fault == "hang":
            await asyncio.sleep(60)
        return self.answer(*args)


@pytest.fixture(scope="module")
def release(tmp_path_factory, unused_encoder):
    folder, fingerprint = unused_encoder
    path = tmp_path_factory.mktemp("routed")
    random = np.random.default_rng(0)
    write_store(path / "store", make_notes(), fingerprint, lambda texts: random.normal(size=(len(texts), 8)))
    release_of(path / "store", fingerprint, folder, path / "release", shards=2)
    return path / "release"


@pytest.fixture
def cluster(release, monkeypatch):
    """Handles by deployment name, and a router over them with a deadline of a second."""
    handles = {"encoder": SimpleNamespace(encode=Method(lambda texts: np.stack([VECTOR for _ in texts])))}
    for number in range(2):
        shard = Shard.load(release, number)
        handles[f"shard-{number}"] = SimpleNamespace(search=Method(searching(shard)), fetch=Method(shard.fetch))
    for handle in handles.values():
        handle.ready = Method(lambda: True)
        handle.options = lambda handle=handle, **_: handle
    monkeypatch.setattr(router_module.serve, "get_deployment_handle", lambda name, application: handles[name])
    return handles


def run(release, *searches, deadline_s=1.0):
    async def go():
        settings = RouterSettings(deadline_s=deadline_s, batch_wait_s=0.01)
        router = Router("application", read_manifest(release), settings)
        return await asyncio.gather(*(router.search(each) for each in searches), return_exceptions=True)

    found = asyncio.run(go())
    return found[0] if len(found) == 1 else found


def search(query="kidney injury", mode="hybrid", allow_partial=False, patient=None, filters=None):
    filters = filters or Filters(patient_ids=[patient] if patient else None)
    options = SearchOptions(k=5, mode=mode, allow_partial=allow_partial)
    return Search(query, filters, options, patient_id=patient)


def hits(found):
    return [passage for passages in found.groups for passage in passages]


def patient_of_shard(release, number):
    shard = Shard.load(release, number)
    query = ShardQuery("", VECTOR, "dense", 1, Filters())
    return shard.fetch([rows_of(shard.search([query])[0])])[0][0]["patient_id"]


def test_searches_that_come_together_are_one_call_each(cluster, release):
    found = run(release, *(search(f"kidney {i % 3}") for i in range(6)))
    assert all(len(hits(each)) == 5 and each.answered == [0, 1] for each in found)
    assert [handle.calls for handle in (cluster["encoder"].encode, cluster["shard-0"].search)] == [1, 1]


def test_one_patient_asks_one_shard_and_no_encoder_when_lexical(cluster, release):
    patient = patient_of_shard(release, 1)
    found = run(release, search(mode="lexical", patient=patient, query="vital signs"))
    assert {content["patient_id"] for _, content in hits(found)} == {patient}
    assert found.answered == [1]
    assert cluster["shard-0"].search.calls == cluster["encoder"].encode.calls == 0


def test_a_dead_replica_is_asked_again(cluster, release):
    for method in (cluster["encoder"].encode, cluster["shard-0"].search, cluster["shard-1"].fetch):
        method.faults = ["dead", "dead"]
    found = run(release, search(), deadline_s=5)
    assert len(hits(found)) == 5
    assert found.missing == []


@pytest.mark.parametrize("faults", [["hang"], ["dead"] * 1000])
@pytest.mark.parametrize("stage", ["search", "fetch"])
def test_a_missing_shard_is_an_error_or_flagged_never_silent(cluster, release, stage, faults):
    method = getattr(cluster["shard-0"], stage)
    method.faults = faults * 3
    refused, partial = run(release, search(), search(allow_partial=True))
    assert (refused.status, refused.code, refused.headers) == (503, "unavailable", {"Retry-After": "2"})
    assert "shard-0" in refused.detail
    assert (partial.answered, partial.missing) == ([1], [0])
    assert {rank.shard for rank, _ in hits(partial)} == {1}


def test_a_shard_that_is_not_asked_is_not_missed(cluster, release):
    cluster["shard-0"].search.faults = ["hang"]
    assert run(release, search(patient=patient_of_shard(release, 1))).missing == []


def test_partial_answers_need_at_least_one_shard(cluster, release):
    for number in range(2):
        cluster[f"shard-{number}"].search.faults = ["hang"]
    assert run(release, search(allow_partial=True)).status == 503


def test_without_the_encoder_only_words_are_searched(cluster, release):
    cluster["encoder"].encode.faults = ["hang"]
    lexical, hybrid = run(release, search(mode="lexical"), search(allow_partial=True))
    assert len(hits(lexical)) == 5
    assert (hybrid.status, hybrid.detail) == (503, "no answer from: encoder")


def test_an_unknown_patient_is_told_from_one_without_a_match(cluster, release):
    unknown, known = run(
        release,
        search(patient="nobody"),
        search(query="unseen", mode="lexical", patient=patient_of_shard(release, 0)),
    )
    assert (unknown.status, unknown.code) == (404, "unknown_patient")
    assert hits(known) == []


def test_readiness_names_what_does_not_answer(cluster, release, monkeypatch):
    monkeypatch.setattr(router_module, "READY_WAIT_S", 0.2)
    cluster["shard-1"].ready.faults = ["hang"]

    async def go():
        router = Router("application", read_manifest(release), RouterSettings())
        return await router.not_ready(), await router.not_ready()

    assert asyncio.run(go()) == (["shard-1"], [])
