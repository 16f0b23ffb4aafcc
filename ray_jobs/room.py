"""Whether a cluster can ever place what a job asks for: said at once, instead of waited for without a word.

Only totals count: what other jobs hold now comes free one day, and `cluster_watch` says what is waited for till then.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from encoders.workers import WorkerSettings
from ray_jobs.job import SettingsError
from ray_jobs.resources import Resources, counted

JOINING_S = 20.0
"""For nodes that are starting while the job is."""
LOOK_EVERY_S = 2.0
SMALLEST = 1e-6
NODE_TYPES = "DREHR_NODE_TYPES"
"""On an autoscaling cluster the environment's path of its cluster file, or ANY; Ray tells a job no limits."""
ANY = "any"


class Cluster(NamedTuple):
    """The totals of each node, and of each that may still be added."""

    up: Sequence[Resources]
    to_come: Sequence[Resources] | None = ()
    """None: nobody knows."""

    @classmethod
    def here(cls) -> "Cluster":
        """The one that Ray is connected to."""
        import ray
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        nodes = [*status.active_nodes, *status.idle_nodes]
        started = Counter(node.ray_node_type_name for node in nodes)
        return cls([node.total_resources() for node in nodes], nodes_to_come(os.environ.get(NODE_TYPES), started))

    def has_room_for(self, bundles: Sequence[Resources]) -> bool:
        """Whether all of them fit at once: largest first, each on the first node that it fits."""
        if self.to_come is None:
            return True
        free = [dict(node) for node in (*self.up, *self.to_come)]
        for bundle in sorted(bundles, key=_size, reverse=True):
            node = next((node for node in free if _fits(bundle, node)), None)
            if node is None:
                return False
            for name, amount in bundle.items():
                node[name] = node.get(name, 0) - amount
        return True

    def __str__(self) -> str:
        to_come = f"; it may grow by {counted(self.to_come)}" if self.to_come else ""
        return f"the cluster has {counted(self.up)}{to_come}"


def nodes_to_come(cluster_file: str | None, started: Mapping[str, int]) -> list[Resources] | None:
    """What an autoscaler may add to the nodes that are up, by their types; None where that is not known."""
    if cluster_file is None:
        return []
    if cluster_file == ANY:
        return None
    config = yaml.safe_load(Path(cluster_file).expanduser().read_text())
    provider = config.get("provider", {})
    if provider.get("type") == "local":
        # Its machines are named, but not what they have; the head is one of those that are up.
        return [] if sum(started.values()) > len(provider["worker_ips"]) else None
    types = {name: each for name, each in config["available_node_types"].items() if name != config["head_node_type"]}
    if not all(each.get("resources") for each in types.values()):
        return None
    limits = {name: each.get("max_workers", config["max_workers"]) for name, each in types.items()}
    return [types[name]["resources"] for name, most in limits.items() for _ in range(most - started.get(name, 0))]


def require_room(what: str, bundles: Sequence[Resources]) -> None:
    """Raises SettingsError within a minute when the cluster cannot place the bundles, however long one waits."""
    until = time.monotonic() + JOINING_S
    while not (cluster := Cluster.here()).has_room_for(bundles):
        if time.monotonic() > until:
            raise SettingsError(f"{what} can never start: it asks for {counted(bundles)} at once, and {cluster}")
        time.sleep(LOOK_EVERY_S)


def require_workers(what: str, workers: WorkerSettings) -> None:
    """The same for the fewest workers that the job starts with."""
    require_room(what, [workers.resources()] * (workers.min_number or workers.number))


def _fits(bundle: Resources, node: Resources) -> bool:
    return all(node.get(name, 0) + SMALLEST >= amount for name, amount in bundle.items())


def _size(bundle: Resources) -> tuple[float, ...]:
    return tuple(bundle.get(name, 0) for name in ("GPU", "memory", "CPU"))
