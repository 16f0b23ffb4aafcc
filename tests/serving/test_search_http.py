"""The whole service on a local Ray, over HTTP: one release of two shards, then another of one."""

import base64
import json
import re
import shutil
import threading
import time
from pathlib import Path

import grpc
import httpx
import numpy as np
import openai
import psutil
import pytest
import ray
from ray import serve
from ray.serve.generated import serve_pb2, serve_pb2_grpc
from ray_traces import leaks, metrics
from tiny_store import CANARY_PATIENT, make_notes, release_of, write_store

from corpus.store import Store
from corpus.store_lock import lock_store
from encoders.encoder import Encoder
from evaluation.benchmark import Judgement, benchmark_of
from evaluation.retrievers import Bench
from ray_jobs import purge
from ray_jobs.serve_environment import NOBODY
from serving.application import ServeSettings, deploy, shutdown
from serving.manifest import read_manifest
from serving.problems import MAX_BODY_BYTES

CANARY = "zanzibarcanary"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Two releases of one store, of two shards and of one."""
    path = tmp_path_factory.mktemp("served")
    encoder = Encoder.load("bundled")
    notes = make_notes()
    notes[0]["text"] += f" The {CANARY} sign was positive."
    write_store(path / "store", notes, encoder.fingerprint, encoder.encode_passages)
    for shards in (2, 1):
        release_of(path / "store", encoder.fingerprint, "bundled", path / f"release-{shards}", shards)
    return {shards: path / f"release-{shards}" for shards in (2, 1)}


@pytest.fixture(scope="module")
def serve_settings(local_ray, serve_port):
    return lambda release: ServeSettings.model_validate(
        {"release": {"path": release}, "http": {"port": serve_port}, "router": {"deadline_s": 20}}
    )


@pytest.fixture(scope="module")
def service(releases, serve_settings):
    url = deploy(serve_settings(releases[2]))
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
    shutdown()


def search(client, query="kidney injury after contrast", patient=None, **fields):
    path = "/v1/search" if patient is None else f"/v1/patients/{patient}/search"
    return client.post(path, json={"query": query, **fields})


def test_it_is_ready_and_describes_itself(service):
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"status": "ready"}
    assert service.get("/docs").status_code == 200
    for path, methods in service.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                kinds = {"application/json"} if status == "200" else {"application/problem+json"}
                assert kinds <= response["content"].keys(), (path, method, status)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_search_finds_the_passage_and_says_who_answered(service, releases, mode):
    answer = search(service, mode=mode, k=4).json()
    manifest = read_manifest(releases[2])
    assert answer["release"] == {
        "id": manifest.id,
        "encoder_fingerprint": manifest.encoder_fingerprint,
        "store_version": manifest.chunks_version,
    }
    assert answer["shards"] == {"answered": [0, 1], "missing": []}
    assert not answer["partial"]
    assert len(answer["hits"]) == 4
    for hit in answer["hits"]:
        assert "acute kidney injury" in hit["text"]
        assert (hit["scores"]["dense"] is None) == (mode == "lexical")
        assert (hit["scores"]["lexical"] is None) == (mode == "dense")
        marked = {hit["text"][start:end].lower() for start, end in hit["highlights"]}
        assert marked == {"kidney", "injury", "after", "contrast"}
        note = service.get(f"/v1/notes/{hit['note_id']}").json()
        span = note["text"][hit["char_start"] : hit["char_end"]]
        assert span.split() == hit["text"].split()
        assert note["patient_id"] == hit["patient_id"]
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_one_patient_is_searched_whole_in_one_shard(service):
    answer = search(service, "anything at all", CANARY_PATIENT, k=1000).json()
    assert {hit["patient_id"] for hit in answer["hits"]} == {CANARY_PATIENT}
    assert len({hit["chunk_id"] for hit in answer["hits"]}) == 6
    assert len(answer["shards"]["answered"]) == 1


def test_an_evaluation_ranks_what_the_service_answers(service):
    query = "kidney injury after contrast"
    answered = {hit["chunk_id"]: hit for hit in search(service, query, k=1000).json()["hits"]}
    benchmark = benchmark_of("served", answered, {"q": {"text": query}}, [Judgement(0, 0)])
    bench = Bench(benchmark, print, lambda *_: None, lambda *_: np.empty(0))
    (hits,) = bench.retriever(f"service:{service.base_url}").hits([0])
    by_score = sorted(answered, key=lambda chunk: (np.float32(answered[chunk]["score"]), chunk), reverse=True)
    assert [benchmark.chunk_ids[document] for document in hits.documents] == by_score, "equal scores by id descending"
    assert hits.scores.tolist() == [hit["score"] for hit in answered.values()]


def test_filters_narrow_and_never_shorten(service):
    filters = {
        "patient_ids": ["patient-03", "patient-04", "nobody"],
        "note_types": ["progress note"],
        "sources": ["ward-1"],
        "time_from": "2024-02-03T00:00:00Z",
        "time_to": "2024-02-03T02:00:00+01:00",
    }
    hits = search(service, "follow up", filters=filters, k=1000).json()["hits"]
    assert {hit["note_id"] for hit in hits} == {"note-03-1"}
    assert len(hits) == 2
    every = search(service, "follow up", k=1000).json()["hits"]
    assert len(every) == 24 * 6


REFUSED = {
    "empty query": ({"query": ""}, 422, "query"),
    "blank query": ({"query": " \n "}, 422, "query"),
    "long query": ({"query": "x" * 4001}, 422, "query"),
    "half a surrogate": ({"query": "\ud800"}, 422, "query"),
    "no query": ({}, 422, "body"),
    "k = 0": ({"query": "x", "k": 0}, 422, "k"),
    "k = 10,000": ({"query": "x", "k": 10_000}, 422, "k"),
    "k as text": ({"query": "x", "k": CANARY}, 422, "k"),
    "unknown mode": ({"query": "x", "mode": CANARY}, 422, "mode"),
    "unknown field": ({"query": "x", CANARY: 1}, 422, "body"),
    "unknown filter": ({"query": "x", "filters": {CANARY: CANARY}}, 422, "filters"),
    "no patient": ({"query": "x", "filters": {"patient_ids": []}}, 422, "filters.patient_ids"),
    "bad time": ({"query": "x", "filters": {"time_from": CANARY}}, 422, "filters.time_from"),
    "not an object": ([CANARY], 422, "body"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_with_a_reason_that_repeats_nothing(service, case):
    body, status, field = REFUSED[case]
    headers = {"Content-Type": "application/json"}
    answer = service.post("/v1/search", content=json.dumps(body), headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid_request", field)
    assert problem["errors"][0]["reason"]
    assert CANARY not in answer.text


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "code"),
    [
        ("POST", "/v1/search", b'{"query": "zanzibarcanary', JSON, 400, "malformed_json"),
        ("POST", "/v1/search", b'{"query": "\xff"}', JSON, 400, "malformed_body"),
        ("POST", "/v1/search", b'{"query": ' + b"[" * 100_000, JSON, 400, "malformed_body"),
        ("POST", "/v1/search", b"query=zanzibarcanary", {"Content-Type": "text/plain"}, 415, "not_json"),
        ("POST", "/v1/search", b'{"query": "zanzibarcanary"}', {}, 415, "not_json"),
        ("POST", "/v1/search", b" " * (MAX_BODY_BYTES + 1), JSON, 413, "body_too_large"),
        ("POST", "/v1/search", iter([b'{"query": "', b"x" * 1_000_000]), JSON, 413, "body_too_large"),
        ("POST", "/v1/patients/zanzibarcanary/search", b'{"query": "x"}', JSON, 404, "unknown_patient"),
        ("GET", "/v1/notes/zanzibarcanary", None, {}, 404, "unknown_note"),
        ("GET", "/v1/notes/x%27%20OR%201=1%20--%00zanzibarcanary", None, {}, 404, "unknown_note"),
        ("GET", "/zanzibarcanary", None, {}, 404, "unknown_path"),
        ("GET", "/v1/search", None, {}, 405, "method_not_allowed"),
    ],
)
def test_other_refusals_are_problems_too(service, method, path, content, headers, status, code):
    answer = service.request(method, path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert CANARY not in answer.text


def test_a_patient_search_takes_no_other_patients(service):
    answer = search(service, patient="patient-03", filters={"patient_ids": [CANARY_PATIENT]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "filters")


def test_words_are_not_syntax(service):
    for query in ('kidney" AND (', "kidney^9 -injury", "x' OR 1=1 --", "kidney\x00", "*", "🫀"):
        assert search(service, query).status_code == 200


def test_concurrent_searches_get_their_own_answers(service):
    def ask(number):
        found[number] = search(service, f"{number} injury", f"patient-{number:02}", k=1000).json()["hits"]

    found = {}
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, 17):
        assert {hit["patient_id"] for hit in found[number]} == {f"patient-{number:02}"}
        assert len(found[number]) == 6


def test_a_note_that_is_written_is_found_at_once_where_its_version_is_named_and_soon_everywhere(service):
    note = {"note_id": "later", "patient_id": "newcomer", "text": "A zebra was seen in the ward."}
    version = service.post("/v1/notes", json={"notes": [note]}).json()["store_version"]
    (hit,) = search(service, "zebra", "newcomer", min_version=version).json()["hits"]
    assert hit["text"] == note["text"]
    assert hit["scores"]["dense"] > 0.2, "encoded by the service's own encoder"
    service.post("/v1/notes", json={"notes": [{**note, "version": 2, "text": "A giraffe was seen."}]})
    wait_until(lambda: search(service, "giraffe", mode="lexical").json()["hits"], 2)
    assert service.get("/v1/notes/later").json()["version"] == 2
    version = service.delete("/v1/patients/newcomer").json()["store_version"]
    assert search(service, "giraffe", mode="lexical", min_version=version).json()["hits"] == []
    assert search(service, "zebra", "newcomer").status_code == 404


def wait_until(holds, seconds):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_openai_s_client_gets_embeddings(service):
    client = openai.OpenAI(base_url=f"{service.base_url}/v1", api_key="none")
    texts = ["kidney injury", "asthma"]
    expected = Encoder.load("bundled").encode_passages(texts)
    for kind in ("float", "base64"):
        answer = client.embeddings.create(model="drehr", input=texts, encoding_format=kind)
        vectors = [each.embedding for each in answer.data]
        if kind == "base64":
            vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
        assert answer.usage.prompt_tokens == 7
    shorter = client.embeddings.create(model="drehr", input="asthma", dimensions=64)
    assert len(shorter.data[0].embedding) == 64
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="another", input="asthma")


def test_a_killed_shard_comes_back_and_no_answer_is_silently_short(service):
    names = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
    replica = next(name for name in names if "#shard-0#" in name)
    ray.kill(ray.get_actor(replica, namespace="serve"))
    for _ in range(10):
        answer = search(service, "follow up", k=1000, mode="lexical", allow_partial=True)
        if answer.status_code == 200:
            body = answer.json()
            assert body["partial"] == (body["shards"]["missing"] == [0])
            assert body["partial"] or len(body["hits"]) == 24 * 3
        else:
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "2"
    answer = search(service, "follow up", k=1000)
    assert len(answer.json()["hits"]) == 24 * 6
    assert service.get("/readyz").status_code == 200


@pytest.mark.long
def test_a_release_that_fails_its_check_is_refused_and_the_old_one_goes_on(service, releases, serve_settings, tmp_path):
    broken = shutil.copytree(releases[1], tmp_path / "broken")
    (broken / "shard-0/vectors.npy").write_bytes(b"")
    with pytest.raises(ValueError, match="SHA-256"):
        deploy(serve_settings(broken))
    assert search(service).json()["release"]["id"] == read_manifest(releases[2]).id


def test_the_next_release_takes_over_without_a_failed_search(service, releases, serve_settings):
    seen, done = [], threading.Event()

    def keep_searching():
        while not done.is_set():
            answer = search(service, mode="lexical", k=1)
            seen.append((answer.status_code, answer.json().get("release", {}).get("id")))

    replicas = writing_replicas()
    thread = threading.Thread(target=keep_searching)
    thread.start()
    settings = serve_settings(releases[1])
    settings.router.deadline_s = 2
    deploy(settings)
    done.set()
    thread.join()
    old, new = (read_manifest(releases[shards]).id for shards in (2, 1))
    assert {status for status, _ in seen} == {200}
    assert [release for _, release in seen] == sorted((release for _, release in seen), key=[old, new].index)
    assert seen[-1][1] == new
    assert f"release-{old}" not in serve.status().applications
    assert writing_replicas() == replicas, "never two writers of one store"


def test_a_purge_goes_through_the_one_that_writes(service, releases, monkeypatch, capsys):
    monkeypatch.setattr(purge, "READERS_S", 2)
    service.post("/v1/notes", json={"notes": [{"note_id": "leaving", "patient_id": "leaver", "text": "An okapi."}]})
    wait_until(lambda: search(service, "okapi", mode="lexical").json()["hits"], 2)
    service.delete("/v1/patients/leaver")
    store = Path(read_manifest(releases[1]).store)
    folders = [{"path": folder} for folder in releases.values()]
    with pytest.raises(ValueError, match="another process writes"):
        lock_store(Store(store), 0)
    purge.run(purge.PurgeSettings(store={"path": store}, releases=folders, days=0))
    assert "serve the purged release again" in capsys.readouterr().out
    assert not [file for file in store.rglob("*") if file.is_file() and b"leaver" in file.read_bytes()]
    assert search(service, "follow up", k=1000).json()["partial"] is False
    assert service.post("/v1/notes", json={"notes": [{"note_id": "later", "patient_id": "p", "text": "ok"}]})


def writing_replicas():
    names = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
    return {name for name in names if "#ingest#" in name}


def test_a_call_to_a_replica_without_ray_s_token_is_refused(service):
    replicas = [each for each in psutil.Process().children(recursive=True) if "ServeReplica" in each.name()]
    open_ports = [
        connection.laddr.port
        for replica in replicas
        for connection in replica.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.ip not in ("127.0.0.1", "::1")
    ]
    answers = []
    for port in open_ports:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as stranger, pytest.raises(grpc.RpcError) as refused:
            serve_pb2_grpc.ASGIServiceStub(stranger).HandleRequest(serve_pb2.ASGIRequest(), timeout=10)
        answers.append(refused.value.code())
    # Ray's own port of each process does not know this call.
    assert set(answers) <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED}
    assert answers.count(grpc.StatusCode.UNAUTHENTICATED) == len(replicas) > 0


def test_no_log_or_metric_names_a_patient_or_a_query(service, local_ray):
    search(service, f"{CANARY} sign", CANARY_PATIENT)
    search(service, f"{CANARY} sign", f"nobody-{CANARY}")
    time.sleep(1)
    # The last one stands for an access log.
    assert leaks(local_ray, (CANARY, CANARY_PATIENT, "POST /v1")) == []
    (node,) = ray.nodes()
    proxy = Path(local_ray) / node["NodeID"] / "haproxy.cfg"
    logs_to = re.findall(r"^ *log (\S+) local0", proxy.read_text(), re.MULTILINE)
    assert logs_to == [NOBODY], "where its access log goes"
    wait_until(lambda: "drehr_requests_total{" in metrics(), 20)
    assert 'route="/v1/patients/{patient_id}/search",' in metrics()
    assert not any(each in metrics() for each in (CANARY, CANARY_PATIENT))
