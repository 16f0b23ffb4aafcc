"""What a job says of the cluster while it runs."""

import time
from collections import Counter

import pytest
import ray

from ray_jobs import cluster_watch
from ray_jobs.cluster_watch import Nodes, Waiting, cluster_watched


@pytest.fixture
def said():
    return []


def test_a_lost_and_a_new_node_are_named(said):
    nodes = Nodes(said.append)
    nodes.seen({"a": "10.0.0.1", "b": "10.0.0.2"})
    nodes.seen({"a": "10.0.0.1", "b": "10.0.0.2"})
    assert said == []
    nodes.seen({"a": "10.0.0.1", "c": "10.0.0.3"})
    assert said == [
        "cluster: node 10.0.0.2 was lost; what it had not finished runs again elsewhere (2 nodes are up)",
        "cluster: node 10.0.0.3 joined (2 nodes are up)",
    ]


def test_a_node_that_an_autoscaler_gives_back_is_not_lost(said):
    nodes = Nodes(said.append)
    both, one = {"a": "10.0.0.1", "b": "10.0.0.2"}, {"a": "10.0.0.1"}
    for idle in ({"b"}, {"b"}):
        nodes.seen(both, idle)
    nodes.seen(one, set())
    assert said == ["cluster: node 10.0.0.2 went; it had no work (1 nodes are up)"]


def test_a_node_that_is_lost_between_two_tasks_is_lost(said):
    nodes = Nodes(said.append)
    both, one = {"a": "10.0.0.1", "b": "10.0.0.2"}, {"a": "10.0.0.1"}
    for idle in (set(), {"b"}):
        nodes.seen(both, idle)
    nodes.seen(one, set())
    assert "10.0.0.2 was lost" in said[0]


def test_a_wait_is_told_after_a_while_and_then_ever_more_rarely(said):
    waiting = Waiting(said.append)
    for now in range(0, 200, 5):
        waiting.seen(Counter({"1 GPU": 2}), {"CPU": 4.0}, float(now))
    assert [line.split("for ")[1].split(" s")[0] for line in said] == ["30", "60", "120"]
    assert said[0] == "cluster: for 30 s 2 x (1 GPU) wait for a place; free: 4 CPU"


def test_who_was_placed_meanwhile_waits_anew(said):
    waiting = Waiting(said.append)
    waiting.seen(Counter({"1 GPU": 1}), {}, 0.0)
    waiting.seen(Counter(), {}, 20.0)
    waiting.seen(Counter({"1 GPU": 1}), {}, 25.0)
    waiting.seen(Counter({"1 GPU": 1}), {}, 40.0)
    assert said == []


def test_a_running_ray_is_watched(local_ray, said, monkeypatch):
    monkeypatch.setattr(cluster_watch, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(cluster_watch, "PATIENCE_S", 0.5)
    never = ray.util.placement_group([{"GPU": 3}])
    with cluster_watched(said.append):
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.1)
    ray.util.remove_placement_group(never)
    assert "1 x (3 GPU) wait for a place; free: 8 CPU" in said[0]
