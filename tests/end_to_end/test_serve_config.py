"""`serve deploy` of the config file on a cluster with token authentication: served, and the next release after it."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import yaml

from encoders.encoder import Encoder
from ray_jobs.serve_environment import free_port
from serving.access.keys import create_key
from tests.end_to_end.running import ROOT
from tests.serving.tiny_store import make_notes, release_of, write_store

LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def releases(tmp_path):
    encoder = Encoder.load("bundled")
    write_store(tmp_path / "store", make_notes(6), encoder.fingerprint, encoder.encode_passages)
    for shards in (1, 2):
        release_of(tmp_path / "store", encoder.fingerprint, "bundled", tmp_path / f"release-{shards}", shards)
    return [tmp_path / "release-1", tmp_path / "release-2"]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_config_file_serves_and_moves_on_to_the_next_release(cluster, releases, tmp_path):
    (tmp_path / "access").mkdir()
    (tmp_path / "access/policies.yaml").write_text("everyone: {patients: all}\n")
    (tmp_path / "audit.key").write_text("0123456789" * 4)
    key = create_key(tmp_path / "access", ["read", "write"], "everyone", LATER)
    config = yaml.safe_load((ROOT / "deploy/serve.yaml").read_text())
    config["http_options"] |= {"host": "127.0.0.1", "port": free_port()}
    first, ingress = config["applications"]
    first["args"]["release"] = ingress["args"]["release"] = {"path": str(releases[0])}
    ingress["args"]["access"]["path"] = str(tmp_path / "access")
    ingress["args"]["audit"] = {"path": str(tmp_path / "audit"), "local": str(tmp_path / "local")}
    ingress["args"]["audit"]["key_file"] = str(tmp_path / "audit.key")
    first["args"] |= {"encoder": {}, "shard": {}}  # one machine has no room for replicas of each on another
    url = f"http://127.0.0.1:{config['http_options']['port']}"

    def deploy():
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        deployed = cluster.serve("deploy", str(file), "--address", cluster.address)
        assert deployed.wait(100) == 0, deployed.output()

    def search():
        try:
            asked = {"query": "kidney injury", "k": 1000}
            return httpx.post(f"{url}/v1/search", json=asked, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        except httpx.TransportError:
            return httpx.Response(503)

    def wait_for(holds, never=lambda answer: False):
        deadline = time.monotonic() + 200
        while not holds(answer := search()):
            assert time.monotonic() < deadline, answer.text
            assert not never(answer), answer.text
            time.sleep(0.2)

    def failed(answer):
        return answer.status_code != 200

    deploy()
    wait_for(lambda answer: answer.status_code == 200)
    assert len(search().json()["hits"]) == 36
    second = {**first, "name": "release-b", "args": {**first["args"], "release": {"path": str(releases[1])}}}
    config["applications"].append(second)
    pointer, written = (each["user_config"] for each in ingress["deployments"])
    written["applications"] = ["release-a", "release-b"]
    deploy()
    deadline = time.monotonic() + 200
    while cluster.applications().get("release-b", {}).get("status") != "RUNNING":
        assert search().status_code == 200
        assert time.monotonic() < deadline
    pointer["application"] = "release-b"
    deploy()
    wait_for(lambda answer: answer.json().get("shards", {}).get("answered") == [0, 1], failed)
    written["applications"] = ["release-b"]
    deploy()
    config["applications"].remove(first)
    deploy()
    for _ in range(50):
        assert search().status_code == 200
        time.sleep(0.1)
