"""The service, guarded and audited, under load: asked more than it can answer, every kind of process killed in turn."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiohttp
import httpx
import psutil
import pytest
from load import ASKED, CANARY, WARD, Guarded, Load, bearer, write_access
from ray_traces import leaks, metrics
from tiny_store import make_notes, release_of, write_store

from encoders.encoder import Encoder
from serving.access.keys import create_key, revoke_key
from serving.application import ServeSettings, deploy, shutdown
from serving.audit.recorder import read_key
from serving.audit.verify import verify
from serving.audit.writer import AuditSettings

KINDS = {
    "encoder": ("ServeReplica:release-", ":encoder"),
    "shard": ("ServeReplica:release-", ":shard-"),
    "ingress": ("ServeReplica:search:ingress",),
    "ingest": ("ServeReplica:search:ingest",),
    "controller": ("ServeController",),
    "proxy manager": ("HAProxyManager",),
    "proxy": ("haproxy", ".cfg"),
}
LOSES_WHAT_IS_IN_FLIGHT = {"ingress", "proxy", "proxy manager"}
RUNNING = {kind: 2 if kind in ("ingress", "shard") else 1 for kind in KINDS}
RECOVERED_S = 90
IN_FLIGHT = 32
"""Of each of the two ingress replicas."""


@pytest.fixture(scope="module")
def service(local_ray, serve_port, tmp_path_factory):
    path = tmp_path_factory.mktemp("guarded")
    encoder = Encoder.load("bundled")
    write_store(path / "store", make_notes(), encoder.fingerprint, encoder.encode_passages)
    release_of(path / "store", encoder.fingerprint, "bundled", path / "release", shards=2)
    keys = write_access(path / "access")
    (path / "audit.key").write_text("k" * 64)
    audit = AuditSettings(path=path / "audit", local=path / "local", key_file=path / "audit.key")
    settings = {
        "release": {"path": path / "release"},
        "http": {"port": serve_port},
        "ingress": {"min_replicas": 2, "max_replicas": 2},
        "router": {"deadline_s": 60},
        "limits": {"in_flight": IN_FLIGHT, "in_flight_per_caller": IN_FLIGHT},
        "access": {"path": path / "access"},
        "audit": audit,
    }
    yield Guarded(deploy(ServeSettings.model_validate(settings)), keys, path / "access", audit)
    shutdown()


def processes(kind):
    """Process ids of the kind."""
    found = set()
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            title = " ".join(each.cmdline())
            if all(part in title for part in KINDS[kind]) and each.status() != psutil.STATUS_ZOMBIE:
                found.add(each.pid)
    return found


def kill(kind, load):
    """Kill a process of the kind, and wait until it is back and reads and writes are answered."""
    there, failed_before = processes(kind), len(load.failed)
    victim = random.choice(sorted(there)) if kind != "proxy" else max(there)  # Older ones only end what they began.
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    while load.recovery(killed) is None or len(processes(kind) - {victim}) < RUNNING[kind]:
        assert time.monotonic() < killed + RECOVERED_S, f"{kind} does not come back"
        time.sleep(0.2)
    failed = Counter(load.failed[failed_before:])
    print(f"\n{kind} killed: answers again after {load.recovery(killed):.1f} s, without an answer: {dict(failed)}")
    assert load.wrong == []
    assert not failed or kind in LOSES_WHAT_IS_IN_FLIGHT


def require_writes(service, load):
    """Every write that was acknowledged is there, and no sealed audit record is missing."""
    with service.client() as client:
        version = max(load.acknowledged.values())
        hits = client.post("/v1/search", json={**ASKED, "mode": "lexical", "min_version": version}).json()["hits"]
    assert load.acknowledged.keys() <= {hit["chunk_id"] for hit in hits}
    assert verify(service.audit.path, read_key(service.audit.key_file)).findings == []


def test_policies_and_cohorts_hold_in_every_shard_and_mode(service):
    with service.client() as everyone, service.client(service.keys.ward) as ward:
        for mode in ("dense", "lexical", "hybrid"):
            asked = {**ASKED, "mode": mode}
            hits = everyone.post("/v1/search", json=asked).json()["hits"]
            of_ward = {hit["chunk_id"] for hit in hits if hit["patient_id"] in WARD}
            assert {hit["patient_id"] for hit in hits} > {*WARD}
            for client, filters in ((ward, {}), (everyone, {"cohort": "ward"}), (ward, {"cohort": "ward"})):
                answer = client.post("/v1/search", json={**asked, "filters": filters})
                assert answer.status_code == 200
                assert answer.json()["shards"] == {"answered": [0, 1], "missing": []}
                assert {hit["chunk_id"] for hit in answer.json()["hits"]} == of_ward


def test_a_changed_policy_and_a_revoked_key_hold_in_every_replica_within_five_seconds(service):
    access, expires = service.access, datetime.now(UTC) + timedelta(days=1)
    policies = access / "policies.yaml"
    before = policies.read_text()
    policies.write_text(f"{before}moving: {{patients: [{WARD[0]}]}}\n")
    stays, goes = (create_key(access, ["read"], "moving", expires) for _ in range(2))

    def answers(key):
        """Of both replicas: each connection is given to either."""
        asked = {"query": "follow up", "k": 3}
        found = [httpx.post(f"{service.url}/v1/search", json=asked, headers=bearer(key)) for _ in range(20)]
        seen = {hit["patient_id"] for each in found for hit in each.json().get("hits", [])}
        return {each.status_code for each in found}, seen

    time.sleep(5)
    assert answers(stays) == answers(goes) == ({200}, {WARD[0]})
    policies.write_text(f"{before}moving: {{patients: [{WARD[1]}]}}\n")
    revoke_key(access, goes.split("_")[1])
    time.sleep(5)
    assert answers(stays) == ({200}, {WARD[1]})
    assert answers(goes) == ({401}, set())


def test_ten_times_too_many_requests_are_shed_and_leave_no_trace(service):
    async def overload():
        async def ask():
            while time.monotonic() < end:
                async with session.post(f"{service.url}/v1/search", json=ASKED) as answer:
                    body = await answer.json(content_type=None)
                    outcomes[answer.status, body.get("code"), answer.headers.get("Retry-After")] += 1

        headers = bearer(service.keys.everyone)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
            await asyncio.gather(*(ask() for _ in range(10 * 2 * IN_FLIGHT)))

    outcomes, end = Counter(), time.monotonic() + 5
    asyncio.run(overload())
    with service.client() as client:
        assert client.post("/v1/search", json=ASKED).status_code == 200, "at once afterwards"
    assert outcomes.keys() == {(200, None, None), (503, "overloaded", "1")}
    assert outcomes[200, None, None] > IN_FLIGHT


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_process_costs_no_answer_and_no_write(service, kind, capsys):
    with Load(service) as load, capsys.disabled():
        time.sleep(1)
        kill(kind, load)
        time.sleep(1)
    require_writes(service, load)


@pytest.mark.long
def test_fifty_killed_processes_cost_no_answer_and_no_write(service, capsys):
    with Load(service) as load, capsys.disabled():
        for kind in random.Random(0).choices([*KINDS], k=50):
            kill(kind, load)
            time.sleep(1)
    require_writes(service, load)


def test_no_trace_of_all_this_names_a_patient_a_word_or_a_key(service, local_ray):
    refused = httpx.post(f"{service.url}/v1/search", json=ASKED, headers=bearer(CANARY))
    assert (refused.status_code, CANARY in refused.text) == (401, False)
    time.sleep(1)
    keys = (service.keys.everyone, service.keys.ward)
    secrets = (CANARY, *keys, *(each.split("_")[-1] for each in keys))
    assert leaks(local_ray, secrets) == []
    assert not any(each in metrics() for each in secrets)
