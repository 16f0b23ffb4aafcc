"""A machine is lost in the middle of each job: the job ends, with the result of a run that lost nothing."""

import json
import time

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from corpus.store import Store
from encoders.encoder import Encoder
from ray_jobs.serve_environment import free_port
from tests.end_to_end.conftest import start_job
from tests.end_to_end.machines import OUTSIDE
from tests.end_to_end.running import started_commands

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

SEED = ["hospital.patients=150", "hospital.benchmark_patients=40"]
STEPS = 120
TRAINING = f"training={{batch_size: 8, num_pos: 4, epochs: 8, max_steps: {STEPS}, checkpoint_steps: 5}}"
"""Long enough for Ray Train to look for more nodes, which it does once a minute."""
NOTICED_S = 75
"""Ray asks a silent node for 65 s before it gives it up, and a job looks every 5 s."""
WORKING = ("ray::Map", "ray::RayTrainWorker", "ray::ReadRange", "ray::Read")
"""Titles of the processes that do a job's work."""


def jobs(hospital, folder, notes=None):
    """Recipe and overrides of each, in the order in which one reads what another wrote.

    The hospital's notes may lie elsewhere.
    """
    notes = notes or hospital / "notes"
    graph = f"built_graph.path={folder / 'graph'}"
    store, encoder = f"store.path={folder / 'store'}", f"encoder={folder / 'encoder'}"
    workers = "workers={number: 2, min_number: 1, cpus: 2.5}"
    return {
        "prepare_corpus": (f"notes.path={notes}", "notes.format=parquet", store),
        "match_entities": (store, graph, f"output.path={folder / 'match_entities'}"),
        "generate_entities": (store, graph, f"output.path={folder / 'generate_entities'}"),
        "train_encoder": (
            *(f"records.path={folder / 'match_entities'}", f"output.path={folder / 'encoder'}"),
            *(TRAINING, workers),
        ),
        "build_index": (store, encoder, "workers={number: 2, cpus: 2.5}", f"output.path={folder / 'release'}"),
        "evaluate": (
            *(f"benchmark.path={hospital / 'benchmark'}", "retrievers=[bm25, dense:bundled]"),
            *("workers={number: 2, cpus: 2.5}", f"vectors.path={folder / 'vectors'}"),
            f"output.path={folder / 'evaluation'}",
        ),
    }


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    with started_commands(folder) as command:
        made = start_job(command, "generate_hospital", "generate_hospital", *SEED, f"output.path={folder / 'hospital'}")
        assert made.wait() == 0, made.output()
    return folder / "hospital"


@pytest.fixture(scope="module")
def object_store(hospital):
    """The hospital's notes in an object store that every machine reaches; their URL."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="0.0.0.0", port=port)
    server.start()
    secrets = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **secrets)
    client.create_bucket(Bucket="hospital")
    for file in (hospital / "notes").glob("*.parquet"):
        client.upload_file(str(file), "hospital", f"notes/{file.name}")
    yield f"s3://key:secret@hospital/notes?endpoint_override={OUTSIDE}:{port}&scheme=http&region=us-east-1"
    server.stop()


@pytest.fixture(scope="module")
def undisturbed(hospital, tmp_path_factory):
    """What the jobs wrote on one machine, from notes in a folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with started_commands(folder) as command:
        for name, overrides in jobs(hospital, folder).items():
            run = start_job(command, name, name, *overrides)
            assert run.wait() == 0, run.output()
    return folder


@pytest.fixture(scope="module", params=["killed", "cut off"])
def way(request):
    """How a machine is lost. One that is cut off goes on working, and reaches the shared storage."""
    return request.param


@pytest.fixture(scope="module")
def disturbed(way, tmp_path_factory):
    return tmp_path_factory.mktemp("disturbed")


@pytest.fixture(scope="module")
def two(cluster_of):
    return cluster_of(workers=2, cpus=4)


def lose_a_working_machine(cluster, run, way):
    """SIGKILL to all of a machine, or its link down, as soon as it works for the job; the machine."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert run.process.poll() is None, run.output()
        for machine in cluster.workers:
            if any(machine.processes(title) for title in WORKING):
                if way == "cut off":
                    machine.cut()
                else:
                    machine.lose()
                cluster.workers.remove(machine)
                return machine
        time.sleep(0.05)
    raise AssertionError(run.output())


@pytest.mark.parametrize(
    "name", ["prepare_corpus", "match_entities", "generate_entities", "train_encoder", "build_index", "evaluate"]
)
def test_a_job_that_loses_a_machine_ends_as_if_it_had_not(
    two, hospital, object_store, undisturbed, way, disturbed, name
):
    run = two.submit(name, name, *jobs(hospital, disturbed, notes=object_store)[name])
    if name == "train_encoder":
        run.wait_for(f"step 12/{STEPS}")
    lost = lose_a_working_machine(two, run, way)
    begun = time.monotonic()
    if name == "train_encoder":
        run.wait_for("with 1 worker: ")
    two.add(cpus=4)
    assert run.wait(900) == 0, run.output()
    ended = time.monotonic()
    if name == "train_encoder":
        assert "with 2 workers: " in run.output().partition("with 1 worker: ")[2]
    if way == "cut off":
        lost.lose()
    # A job that could do without a machine that is cut off may end before Ray notices.
    if way == "killed" or ended - begun > NOTICED_S:
        assert f"cluster: node {lost.address} was lost" in run.output()
    same[name](disturbed, undisturbed)


def assert_same_store(ours, theirs):
    for name in ("notes", "chunks"):
        rows = [getattr(Store(each / "store"), name)().to_table().to_pylist() for each in (ours, theirs)]
        one, other = (sorted(each, key=lambda row: (row["note_id"], row.get("chunk_id", ""))) for each in rows)
        assert one == other


def assert_same_records(ours, theirs, name):
    one, other = ((each / name / "records.jsonl").read_text().splitlines() for each in (ours, theirs))
    assert sorted(one) == sorted(other)
    assert len(one) > 100


def assert_same_encoder(ours, theirs):
    texts = ["kidney injury after contrast", "on apixaban for a pulmonary embolism"]
    one, other = (Encoder.load(str(each / "encoder")).encode_queries(texts) for each in (ours, theirs))
    np.testing.assert_allclose(one, other, atol=2e-3)
    assert not np.allclose(one, Encoder.load("bundled").encode_queries(texts), atol=2e-2)


def assert_same_release(ours, theirs):
    one, other = (json.loads((each / "release" / "release.json").read_text()) for each in (ours, theirs))
    assert [each["rows"] for each in one["shards"]] == [each["rows"] for each in other["shards"]]


def assert_same_figures(ours, theirs):
    for retriever in zip(*(mrr_of(each) for each in (ours, theirs)), strict=True):
        assert retriever[0] == pytest.approx(retriever[1], abs=0.02)


def mrr_of(folder):
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    return [each["multi_patient"]["mrr"] for each in metrics["retrievers"].values()]


same = {
    "prepare_corpus": assert_same_store,
    "match_entities": lambda ours, theirs: assert_same_records(ours, theirs, "match_entities"),
    "generate_entities": lambda ours, theirs: assert_same_records(ours, theirs, "generate_entities"),
    "train_encoder": assert_same_encoder,
    "build_index": assert_same_release,
    "evaluate": assert_same_figures,
}
