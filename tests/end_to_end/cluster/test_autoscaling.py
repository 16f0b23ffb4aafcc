"""cluster.yaml's node types under Ray's own autoscaler: from the head alone to what a job needs, and back."""

import json
import sys
import time

import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

from corpus.store import Store
from ray_jobs.room import NODE_TYPES
from tests.end_to_end.fake_provider import FakeProvider
from tests.end_to_end.machines import GCS_PORT, machines
from tests.end_to_end.running import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

IDLE_MINUTES = 0.25
OF_A_LAUNCHER = (
    *("docker", "file_mounts", "cluster_synced_files", "initialization_commands", "setup_commands"),
    *("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
)
"""What the autoscaler wants to be there, though nodes are started here."""
PROVIDER = f"{FakeProvider.__module__}.{FakeProvider.__name__}"
KEPT = {"resources", "min_workers", "max_workers"}


@pytest.fixture
def autoscaling(command, tmp_path):
    """A head that starts nodes of cluster.yaml's types beside itself."""
    with machines(command) as made:
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.safe_dump(_faked(f"{made.head.address}:{GCS_PORT}")))
        made.head.start(
            *(command, "--num-cpus", 0, "--autoscaling-config", file),
            **{NODE_TYPES: str(file)},
            PYTHONPATH=str(ROOT),
            RAY_FAKE_CLUSTER="1",
            RAY_enable_autoscaler_v2="1",
            AUTOSCALER_UPDATE_INTERVAL_S="1",
            RAY_NODE_TYPE_NAME=FAKE_HEAD_NODE_TYPE,
            RAY_CLOUD_INSTANCE_ID=FAKE_HEAD_NODE_ID,
            RAY_OVERRIDE_NODE_ID_FOR_TESTING=FAKE_HEAD_NODE_ID,
        )
        yield made


def _faked(address):
    """The file as it is, but for who starts nodes, and how soon idle ones go."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    types = {
        name: {key: each[key] for key in ("resources", "min_workers", "max_workers") if key in each}
        | {"node_config": {}}
        for name, each in config["available_node_types"].items()
    }
    types[config["head_node_type"]]["max_workers"] = 0
    # The name that the fake provider knows the head by.
    types[FAKE_HEAD_NODE_TYPE] = types.pop(config["head_node_type"])
    provider = {"type": "external", "module": PROVIDER, "gcs_address": address, "launch_multiple": True}
    return {
        **{key: config[key] for key in ("cluster_name", "max_workers")},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": types,
        "provider": {**provider, "head_node_id": FAKE_HEAD_NODE_ID},
        "idle_timeout_minutes": IDLE_MINUTES,
        "auth": {},
        **{key: {} if key in ("docker", "file_mounts") else [] for key in OF_A_LAUNCHER},
    }


LIST_NODES = """
from ray.autoscaler.v2.sdk import get_cluster_status
status = get_cluster_status("{address}")
print("types:", *(node.ray_node_type_name for node in [*status.active_nodes, *status.idle_nodes]))
"""


def _nodes(command, head):
    """Types of the nodes that are up."""
    script = LIST_NODES.format(address=f"{head.address}:{GCS_PORT}")
    listed = head.run(command, sys.executable, "-c", script)
    assert listed.wait(60) == 0, listed.output()
    return listed.output().partition("types: ")[2].split()


def test_the_cluster_grows_to_what_a_job_needs_and_goes_back_to_its_head(autoscaling, command, tmp_path):
    notes = tmp_path / "notes.jsonl"
    rows = [{"note_id": f"n{i}", "patient_id": "p1", "text": "Seen for chest pain."} for i in range(20)]
    notes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert _nodes(command, autoscaling.head) == [FAKE_HEAD_NODE_TYPE]

    store = f"store.path={tmp_path / 'store'}"
    run = autoscaling.submit("prepare_corpus", "prepare_corpus", f"notes.path={notes}", store)
    assert run.wait() == 0, run.output()
    assert Store(tmp_path / "store").chunks().count_rows() == 20
    assert set(_nodes(command, autoscaling.head)) == {FAKE_HEAD_NODE_TYPE, "processors"}

    deadline = time.monotonic() + 180
    while (nodes := _nodes(command, autoscaling.head)) != [FAKE_HEAD_NODE_TYPE]:
        assert time.monotonic() < deadline, nodes
        time.sleep(2)


def test_what_no_node_type_can_hold_is_refused_with_what_the_cluster_may_grow_to(autoscaling, tmp_path):
    (tmp_path / "records").mkdir()
    paths = [f"records.path={tmp_path / 'records'}", f"output.path={tmp_path / 'encoder'}"]
    workers = "workers={number: 17, use_gpu: true, accelerator_type: H100}"
    run = autoscaling.submit("train_encoder", "train_encoder", *paths, workers)
    assert run.wait(200) != 0
    assert "training (workers) can never start: it asks for 17 x (1 CPU, 1 GPU, H100) at once" in run.output()
    assert "it may grow by" in run.output()
    assert "16 x (16 CPU, 1 GPU, 192.0 GB memory, H100)" in run.output()
