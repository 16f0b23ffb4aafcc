"""Runs on Ray Train that are harmed go on by themselves and end as if nothing had been. Minutes each."""

import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from threading import Thread

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from encoders.encoder import Encoder
from encoders.training.on_ray import RUN_NAME, TENSORBOARD, Inputs, train_on_ray
from encoders.training.settings import DevSettings, TrainingSettings
from encoders.training.tables import stage_records, write_tables
from encoders.workers import WorkerSettings
from tests.encoders.training.event_files import event_files, read_events

pytestmark = pytest.mark.long
# Ray's workers do not find the modules of tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

SETTINGS = TrainingSettings(epochs=2, batch_size=6, num_pos=3, chunk_tokens=32, learning_rate=1e-3)
EACH_STEP = SETTINGS.model_copy(update={"dev": DevSettings(every_steps=1)})
STEPS = 8
ONE_EPOCH = SETTINGS.model_copy(update={"epochs": 1})
STEPS_TO_DRAIN = 400
"""Of the one epoch that takes longer than the notice of a drained node takes to arrive."""
NOTICE_S = 8


def no_harm():
    pass


class Scores:
    """One line in `file` for each time that rank 0 asks, which is after each step; better every time."""

    def __init__(self, file, harm=no_harm):
        self._file, self._harm = file, harm

    def __call__(self, encoder):
        if ray.train.get_context().get_world_rank():
            return {}
        with self._file.open("a") as file:
            file.write(f"{ray.get_runtime_context().get_node_id()}\n")
        times = len(self._file.read_text().splitlines())
        time.sleep(0.2)
        if times == 3:
            wait_for(lambda: has_checkpoint(self._file.parent))
            self._harm()
        return {"dev": float(times)}


def has_checkpoint(storage):
    known = storage / RUN_NAME / "checkpoint_manager_snapshot.json"
    return known.exists() and "checkpoint_" in known.read_text()


def wait_for(condition, seconds=300):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def storage_of(folder):
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def undisturbed(local_ray, tiny_encoder, training_folder, tmp_path_factory):
    """The encoder that nothing happened to, by the number of workers."""
    found = {}
    for number in (1, 2):
        storage = tmp_path_factory.mktemp("undisturbed")
        inputs = Inputs(str(tiny_encoder), training_folder, score=Scores(storage / "asked"))
        found[number], metrics = train_on_ray(inputs, EACH_STEP, WorkerSettings(number=number), storage)
        assert metrics["step"] == len((storage / "asked").read_text().splitlines()) == STEPS
    return found


def assert_same(ours, theirs, number):
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        if number == 1:
            assert torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def assert_went_on(storage):
    """Some steps were done again, but not all: an earlier checkpoint was whole."""
    assert STEPS < len((storage / "asked").read_text().splitlines()) < STEPS + 3


def assert_resumed(storage, steps):
    """What trained last did not begin at the first step."""
    begun, *_, last = event_files(storage / TENSORBOARD)
    assert begun != last
    first, *_, end = [step for step, _ in read_events(last)["loss"]]
    assert first > 1
    assert end == steps


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk():
    """From here on no file of the process can grow beyond a kilobyte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


@pytest.mark.parametrize(("number", "harm"), [(1, kill), (2, kill), (1, fill_disk)])
def test_a_worker_that_is_killed_or_finds_the_disk_full(
    undisturbed, tiny_encoder, training_folder, tmp_path, number, harm
):
    inputs = Inputs(str(tiny_encoder), training_folder, score=Scores(tmp_path / "asked", harm))
    encoder, metrics = train_on_ray(inputs, EACH_STEP, WorkerSettings(number=number), tmp_path)
    assert metrics["step"] == STEPS
    assert_went_on(tmp_path)
    assert_same(encoder, undisturbed[number], number)


def train_in(address, inputs, number, storage):
    """Of a process of its own."""
    ray.init(address=address, log_to_driver=False)
    train_on_ray(inputs, EACH_STEP, WorkerSettings(number=number), storage)


def test_a_driver_that_is_killed_and_started_again(undisturbed, tiny_encoder, training_folder, tmp_path):
    inputs = Inputs(str(tiny_encoder), training_folder, score=Scores(tmp_path / "asked"))
    address = ray.get_runtime_context().gcs_address
    driver = multiprocessing.get_context("spawn").Process(target=train_in, args=(address, inputs, 1, tmp_path))
    driver.start()
    wait_for(lambda: has_checkpoint(tmp_path))
    driver.kill()
    driver.join()
    encoder, metrics = train_on_ray(inputs, EACH_STEP, WorkerSettings(number=1), tmp_path)
    assert metrics["step"] == STEPS
    assert_resumed(tmp_path, STEPS)
    assert_same(encoder, undisturbed[1], 1)


@contextmanager
def three_nodes():
    """A Ray cluster of three nodes for one worker each."""
    temporary = tempfile.mkdtemp(prefix="drehr-ray-")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": temporary})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, {node.node_id: node for node in nodes}
    finally:
        ray.shutdown()
        cluster.shutdown()


def train_on_nodes(inputs, settings, storage, harm):
    """In a process of its own; two workers on three nodes, one of which `harm` takes away."""
    os.environ["RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"] = "0.2"
    with three_nodes() as (cluster, nodes):
        harming = Thread(target=harm, args=(cluster, nodes, storage))
        harming.start()
        encoder, metrics = train_on_ray(inputs, settings, WorkerSettings(number=2), storage)
        harming.join()
        encoder.save(storage / "encoder")
        (storage / "metrics.json").write_text(json.dumps(metrics))


def lose_node(cluster, nodes, storage):
    """That of rank 0, without a word."""
    asked = storage / "asked"
    wait_for(lambda: asked.exists() and len(asked.read_text().splitlines()) == 3 and has_checkpoint(storage))
    cluster.remove_node(nodes[asked.read_text().splitlines()[-1]], allow_graceful=False)


def drain_node(cluster, nodes, storage):
    """Some seconds after notice was given, in which a checkpoint is saved that nothing else asks for."""
    wait_for(lambda: any((storage / TENSORBOARD).glob("*")))
    placed = {actor["node_id"] for actor in ray.util.state.list_actors(filters=[("class_name", "=", "RayTrainWorker")])}
    assert not has_checkpoint(storage)
    node = next(name for name in nodes if name in placed)
    gcs, deadline = ray._raylet.GcsClient(address=cluster.address), int((time.time() + NOTICE_S) * 1000)
    gcs.drain_node(node, DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), "", deadline)
    wait_for(lambda: has_checkpoint(storage), NOTICE_S)
    time.sleep(max(0, deadline / 1000 - time.time()))
    cluster.remove_node(nodes[node], allow_graceful=False)


def run_on_nodes(inputs, settings, storage, harm):
    run = multiprocessing.get_context("spawn").Process(target=train_on_nodes, args=(inputs, settings, storage, harm))
    run.start()
    run.join()
    assert run.exitcode == 0
    return Encoder.load(str(storage / "encoder")), json.loads((storage / "metrics.json").read_text())


def test_a_node_that_is_lost(undisturbed, tiny_encoder, training_folder, tmp_path):
    inputs = Inputs(str(tiny_encoder), training_folder, score=Scores(tmp_path / "asked"))
    encoder, metrics = run_on_nodes(inputs, EACH_STEP, tmp_path, lose_node)
    assert metrics["step"] == STEPS
    assert_went_on(tmp_path)
    assert_same(encoder, undisturbed[2], 2)


def test_a_node_that_is_drained(local_ray, tiny_encoder, records, tmp_path):
    lines = [json.loads(line) for line in (records / "records.jsonl").read_text().splitlines()]
    number = STEPS_TO_DRAIN * SETTINGS.batch_size
    many = [json.dumps({**lines[i % len(lines)], "idx": f"n{i:05d}"}) for i in range(number)]
    data = storage_of(tmp_path / "data")
    write_tables(stage_records(many, [""] * number, str(tiny_encoder), 32), str(tiny_encoder), ONE_EPOCH, data)
    inputs = Inputs(str(tiny_encoder), data)
    encoder, metrics = run_on_nodes(inputs, ONE_EPOCH, storage_of(tmp_path / "drained"), drain_node)
    assert metrics["step"] == STEPS_TO_DRAIN
    assert_resumed(tmp_path / "drained", STEPS_TO_DRAIN)
    whole, _ = train_on_ray(inputs, ONE_EPOCH, WorkerSettings(number=2), storage_of(tmp_path / "whole"))
    assert_same(encoder, whole, 2)
