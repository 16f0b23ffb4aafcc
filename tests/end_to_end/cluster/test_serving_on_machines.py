"""The service on several machines, by its config file: a machine lost, a link cut, the head lost, the next release."""

import itertools
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pyarrow as pa
import pytest
import torch
import yaml

from corpus.store import Store
from encoders.encoder import Encoder
from serving.audit.recorder import read_key
from serving.audit.verify import verify
from serving.audit.writer import AuditSettings
from tests.end_to_end.machines import OUTSIDE, machines
from tests.end_to_end.running import ROOT, started_commands
from tests.serving.load import ASKED, Guarded, Load, bearer, write_access
from tests.serving.tiny_store import make_notes, release_of, write_store

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

SHARDS, REPLICAS = 4, 2
PORT, REDIS_PORT = 8000, 6390
REDIS_PASSWORD = "of-the-test-alone"
WITH_PASSWORD = ("--redis-password", REDIS_PASSWORD)
REDIS = {
    "RAY_REDIS_ADDRESS": f"{OUTSIDE}:{REDIS_PORT}",
    # Raylets wait so long for a head that is away.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
}
DEADLINE_S = 20
RECOVERED_S = 150
QUERIES = ["kidney injury after contrast", "blood thinner", "wheezing at night", "low iron", "sugar out of control"]


@dataclass
class OnMachines(Guarded):
    """The service as a load balancer reaches it: another machine each time that one does not answer."""

    addresses: list = field(default_factory=list)

    def client(self, key=None):
        headers = bearer(key or self.keys.everyone)
        while True:
            self.addresses.append(self.addresses.pop(0))
            url = f"http://{self.addresses[-1]}:{PORT}"
            try:
                if httpx.get(f"{url}/-/healthz", timeout=1).status_code == 200:
                    return httpx.Client(base_url=url, timeout=30, headers=headers)
            except httpx.TransportError:
                time.sleep(0.1)


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """The same store with two encoders that rank differently, and a release of each."""
    folder = tmp_path_factory.mktemp("releases")
    torch.manual_seed(0)
    other = Encoder.load("bundled")
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(torch.randn_like(weight) * weight.std() * 0.3 if weight.dim() > 1 else 0)
    other.save(folder / "other")
    made = []
    for name in ("bundled", str(folder / "other")):
        encoder, output = Encoder.load(name), folder / f"release-{len(made)}"
        if not made:
            write_store(folder / "store", make_notes(), encoder.fingerprint, encoder.encode_passages)
        else:
            add_vectors(folder / "store", encoder)
        release_of(folder / "store", encoder.fingerprint, name, output, SHARDS)
        made.append(output)
    return made


def add_vectors(store, encoder):
    table = Store(store).chunks().to_table(columns=["chunk_id", "version", "text"])
    vectors = encoder.encode_passages(table["text"].to_pylist())
    Store(store).begin_vectors(encoder.fingerprint, vectors.shape[1])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    Store(store).add_vectors(encoder.fingerprint, table.drop_columns("text").append_column("vector", column))


class Deployed:
    """The config file, and where it was deployed."""

    def __init__(self, cluster, folder, releases):
        self.cluster, self._file = cluster, folder / "serve.yaml"
        keys = write_access(folder / "access")
        (folder / "audit.key").write_text("0123456789" * 4)
        # Not shared by machines: sealed records go to `audit`, which is.
        local = cluster.head.mounted / "audit"
        audit = AuditSettings(path=folder / "audit", local=local, key_file=folder / "audit.key")
        self.service = OnMachines("", keys, folder / "access", audit, [each.address for each in cluster.workers])
        self.config = yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())
        self.config["http_options"]["port"] = PORT
        release, ingress = self.config["applications"]
        self.second = {
            **release,
            "name": "release-b",
            "args": {**release["args"], "release": {"path": str(releases[1])}},
        }
        release["args"]["release"] = ingress["args"]["release"] = {"path": str(releases[0])}
        each_on_its_own = {"min_replicas": REPLICAS, "max_replicas": REPLICAS, "max_replicas_per_node": 1}
        release["args"]["shard"] = self.second["args"]["shard"] = each_on_its_own
        release["args"]["encoder"] = self.second["args"]["encoder"] = each_on_its_own
        ingress["args"] |= {
            "access": {"path": str(folder / "access")},
            "audit": audit.model_dump(mode="json"),
            "ingress": each_on_its_own,
            "router": {"deadline_s": DEADLINE_S},
        }
        self.pointer, self.written = (each["user_config"] for each in ingress["deployments"])

    def deploy(self):
        self._file.write_text(yaml.safe_dump(self.config))
        deployed = self.cluster.serve("deploy", str(self._file), "--address", self.cluster.address)
        assert deployed.wait(150) == 0, deployed.output()

    def wait_until_running(self):
        def running():
            applications = self.applications()
            return applications and all(each["status"] == "RUNNING" for each in applications.values())

        self.wait_until(running)

    def wait_until(self, holds):
        deadline = time.monotonic() + 240
        while not holds():
            assert time.monotonic() < deadline, self.applications()
            time.sleep(2)

    def applications(self):
        """What Serve says of each."""
        return self.cluster.applications()

    def running_encoders(self):
        """How many replicas of the current release's encoder are up."""
        release = self.applications().get(self.pointer["application"], {})
        # While a release is being changed nothing is said of its deployments.
        encoder = release.get("deployments", {}).get("encoder", {})
        return encoder.get("replica_states", {}).get("RUNNING", 0)

    def scale_encoders(self, **autoscaling):
        (release,) = (each for each in self.config["applications"] if each["name"] == self.pointer["application"])
        release["deployments"] = [{"name": "encoder", "autoscaling_config": autoscaling}]


@pytest.fixture(scope="module")
def deployed(releases, tmp_path_factory):
    """A head that keeps its tables in Redis, three workers, and the service on them."""
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server")
    folder = tmp_path_factory.mktemp("serving")
    with started_commands(folder) as command, machines(command) as made:
        own = ["--bind", OUTSIDE, "--port", str(REDIS_PORT), "--requirepass", REDIS_PASSWORD, "--dir", str(folder)]
        command("redis-server", *own).wait_for("Ready to accept connections", timeout=30)
        made.start(workers=3, head=WITH_PASSWORD, **REDIS)
        deployed = Deployed(made, folder, releases)
        deployed.deploy()
        deployed.wait_until_running()
        yield deployed


def recovery(load, since):
    deadline = time.monotonic() + RECOVERED_S
    while (seconds := load.recovery(since)) is None:
        assert time.monotonic() < deadline, load.failed[-5:]
        time.sleep(0.2)
    return seconds


def require_writes(service, load):
    """Every write that was acknowledged is there."""
    with service.client() as client:
        asked = {**ASKED, "mode": "lexical", "min_version": max(load.acknowledged.values())}
        hits = client.post("/v1/search", json=asked).json()["hits"]
    assert load.acknowledged.keys() <= {hit["chunk_id"] for hit in hits}


def test_a_lost_machine_costs_no_answer_and_no_write(deployed, capsys):
    lost = deployed.cluster.workers[0]
    with Load(deployed.service) as load, capsys.disabled():
        time.sleep(3)
        at = time.monotonic()
        lost.lose()
        deployed.cluster.workers.remove(lost)
        deployed.service.addresses.remove(lost.address)
        print(
            f"\na machine lost: answers again after {recovery(load, at):.1f} s, without an answer: {len(load.failed)}"
        )
        deployed.service.addresses.append(deployed.cluster.add(**REDIS).address)
        deployed.wait_until_running()
    assert load.wrong == []
    require_writes(deployed.service, load)


def test_a_cut_link_to_shards_is_flagged_or_refused_in_time(deployed):
    service, workers = deployed.service, deployed.cluster.workers
    with service.client() as client:
        whole = {hit["chunk_id"] for hit in client.post("/v1/search", json=ASKED).json()["hits"]}
    with_ingress = [each for each in workers if each.processes("ServeReplica:search:ingress")]
    (away,) = (each for each in workers if each not in with_ingress)
    for each in with_ingress:
        each.cut_from(away)
        away.cut_from(each)
    outcomes = Counter()
    try:
        with httpx.Client(
            base_url=f"http://{with_ingress[0].address}:{PORT}",
            timeout=30,
            headers=bearer(service.keys.everyone),
        ) as client:
            for number in range(20):
                may_be_partial = number % 2 == 0
                sent = time.monotonic()
                answer = client.post("/v1/search", json={**ASKED, "allow_partial": may_be_partial, "deadline_ms": 3000})
                assert time.monotonic() - sent < 3 + 2
                body = answer.json()
                if answer.status_code == 200:
                    found = {hit["chunk_id"] for hit in body["hits"]}
                    assert found == whole or (body["partial"] and may_be_partial and body["shards"]["missing"])
                    outcomes["whole" if found == whole else "flagged"] += 1
                else:
                    assert (answer.status_code, body["code"]) == (503, "unavailable")
                    outcomes["refused"] += 1
    finally:
        for each in with_ingress:
            each.mend_to(away)
            away.mend_to(each)
    print(f"\na cut link: {dict(outcomes)}")


def test_serving_goes_on_while_the_head_is_lost_and_when_it_is_back(deployed, capsys):
    cluster = deployed.cluster
    with Load(deployed.service) as load, capsys.disabled():
        time.sleep(3)
        cluster.head.lose()
        at = time.monotonic()
        time.sleep(20)
        assert load.recovery(at) is not None, load.failed[-5:]
        print(f"\nthe head lost: without an answer: {len(load.failed)}")
        cluster.start_head(*WITH_PASSWORD, **REDIS)
        time.sleep(10)
        at = time.monotonic()
        print(f"the head back: answers after {recovery(load, at):.1f} s, without an answer: {len(load.failed)}")
        deployed.wait_until_running()
    assert load.wrong == []
    require_writes(deployed.service, load)


class Asking:
    """Asks without pause and keeps what came."""

    def __init__(self, service):
        self._service, self._done = service, threading.Event()
        self.scores = []
        self.failed = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(3)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self):
        client = self._service.client()
        for query in itertools.cycle(QUERIES):
            if self._done.is_set():
                return
            answer = client.post("/v1/search", json={"query": query, "mode": "dense", "k": 5})
            if answer.status_code == 200:
                self.scores.append((query, scores_of(answer)))
            else:
                self.failed.append((answer.status_code, answer.text))


def scores_of(answer):
    return {hit["chunk_id"]: hit["score"] for hit in answer.json()["hits"]}


def all_scores(service):
    with service.client() as client:
        asked = {"mode": "dense", "k": 1000}
        return {query: scores_of(client.post("/v1/search", json={**asked, "query": query})) for query in QUERIES}


def agrees(scores, everything):
    return all(score == pytest.approx(everything[chunk], abs=1e-4) for chunk, score in scores.items())


def test_the_next_encoder_and_index_take_over_under_load_and_no_answer_mixes_them(deployed):
    service = deployed.service
    before = all_scores(service)
    with Asking(service) as asking:
        deployed.config["applications"].append(deployed.second)
        deployed.written["applications"] = ["release-a", "release-b"]
        deployed.deploy()
        deployed.wait_until_running()
        deployed.pointer["application"] = "release-b"
        deployed.deploy()
        deployed.wait_until_running()
        time.sleep(DEADLINE_S)
        deployed.written["applications"] = ["release-b"]
        deployed.deploy()
        deployed.config["applications"] = [
            each for each in deployed.config["applications"] if each["name"] != "release-a"
        ]
        deployed.deploy()
        deployed.wait_until_running()
        time.sleep(3)
    after = all_scores(service)
    assert asking.failed == []
    old = [agrees(scores, before[query]) for query, scores in asking.scores]
    new = [agrees(scores, after[query]) for query, scores in asking.scores]
    assert all(one != other for one, other in zip(old, new, strict=True)), "each is of one release, and of one alone"
    assert old[0]
    assert new[-1]


def ask_much(service, done):
    client = service.client()
    for number in itertools.count():
        if done.is_set():
            return
        queries = [f"{query} on ward {number}" for query in QUERIES * 12]
        client.post("/v1/search", json={"queries": queries, "mode": "dense", "k": 1})


def test_encoders_are_started_under_load_and_stopped_after_it(deployed):
    deployed.scale_encoders(min_replicas=1, max_replicas=3, upscale_delay_s=3, downscale_delay_s=10)
    deployed.deploy()
    deployed.wait_until(lambda: deployed.running_encoders() == 1)
    done = threading.Event()
    asking = [threading.Thread(target=ask_much, args=(deployed.service, done)) for _ in range(8)]
    for each in asking:
        each.start()
    try:
        deployed.wait_until(lambda: deployed.running_encoders() >= 2)
    finally:
        done.set()
        for each in asking:
            each.join()
    deployed.wait_until(lambda: deployed.running_encoders() == 1)


def test_no_audit_record_is_missing_or_changed_after_all_this(deployed):
    audit = deployed.service.audit
    assert verify(audit.path, read_key(audit.key_file)).findings == []
