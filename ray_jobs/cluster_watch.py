"""What a job on a cluster says of it: machines that are lost or come, and what is waited for when nothing is free."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager

from ray_jobs.resources import Resources, shown

LOOK_EVERY_S = 5.0
PATIENCE_S = 30.0
"""A demand that is older is worth a line; so is a longer wait, each time that it has doubled."""
LIST_NODES_S = 5
SOON_CUT_OFF = {"RAY_grpc_client_keepalive_time_ms": "30000", "RAY_grpc_client_keepalive_timeout_ms": "30000"}
"""Environment of a cluster's nodes: a call to a machine whose link is down ends after a minute, not Ray's seven.
The same on all of them, for it also says how often a node may be asked whether it is still there."""

Say = Callable[[str], None]


@contextmanager
def cluster_watched(say: Say) -> Iterator[None]:
    """While the block runs, a thread watches the cluster that Ray is connected to."""
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(say, done), name="cluster_watch", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join(LIST_NODES_S + LOOK_EVERY_S)


def _watch(say: Say, done: threading.Event) -> None:
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status

    address = ray.get_runtime_context().gcs_address
    nodes, waiting = Nodes(say), Waiting(say)
    while not done.wait(LOOK_EVERY_S):
        try:
            status = get_cluster_status(address, timeout=LIST_NODES_S)
        except Exception:
            continue  # The head is away; the job's own calls say so if that lasts.
        up = [*status.active_nodes, *status.idle_nodes]
        idle = {node.node_id for node in status.idle_nodes if node.node_id}
        nodes.seen({node.node_id: node.ip_address for node in up if node.node_id}, idle)
        demands = status.resource_demands
        asked = [*demands.ray_task_actor_demand, *demands.placement_group_demand]
        shapes: Counter[str] = Counter()
        for demand in asked:
            for each in demand.bundles_by_count:
                shapes[shown(each.bundle)] += each.count
        free: dict[str, float] = status.available_resources()
        waiting.seen(shapes, free, time.monotonic())


class Nodes:
    """Says which come and go."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._up: dict[str, str] | None = None
        self._idle: Set[str] = frozenset()
        self._resting: Set[str] = frozenset()
        """Idle the last two times: between two tasks a node is idle too."""

    def seen(self, up: dict[str, str], idle: Set[str] = frozenset()) -> None:
        """Node ids with their addresses, as they are up now, and those without work: an autoscaler gives these back."""
        before = up if self._up is None else self._up
        for gone in before.keys() - up.keys():
            became = (
                "went; it had no work"
                if gone in self._resting
                else "was lost; what it had not finished runs again elsewhere"
            )
            self._say(f"cluster: node {before[gone]} {became} ({len(up)} nodes are up)")
        for new in up.keys() - before.keys():
            self._say(f"cluster: node {up[new]} joined ({len(up)} nodes are up)")
        self._up, self._idle, self._resting = up, idle, self._idle & idle


class Waiting:
    """Says what has waited for long, and what is free meanwhile."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._since: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def seen(self, shapes: Counter[str], free: Resources, now: float) -> None:
        """What is asked for and not placed now, in words, with how often."""
        self._since = {shape: self._since.get(shape, now) for shape in shapes}
        self._next = {shape: self._next.get(shape, PATIENCE_S) for shape in shapes}
        for shape, count in shapes.items():
            waited = now - self._since[shape]
            if waited >= self._next[shape]:
                self._next[shape] = 2 * waited
                self._say(f"cluster: for {waited:.0f} s {count} x ({shape}) wait for a place; free: {shown(free)}")
