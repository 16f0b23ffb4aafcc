"""Searches over many shards: what the router costs, and what one slow or one dead shard does.

    python -m benchmarks.fan_out [--chunks 20000] [--shards 2 8 32 50] [--seconds 15]

The service of `benchmarks.served`, the same chunks cut into so many shards, dense searches. Router CPU is that of the
ingress replica's process over a turn, a query, HTTP, access and audit included. The slow shard stands still for 200 ms
of every 250 (SIGSTOP, SIGCONT); the dead one for good, as behind a cut link: a replica that is killed is replaced. With
the dead one searches ask for partial answers within 4 seconds.

The last line is JSON: by number of shards `router_cpu_ms` (8 clients), `p50_ms`, `p99_ms` with one client and with 8,
`slow_p50_ms`, `slow_p99_ms`, `dead_p50_ms`, `dead_p99_ms`, `dead_partial` (share of the answers that said so).
"""

import argparse
import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.served import Load, Service, Side, load, make_release, questions, serving

K, MANY = 10, 8
WARM_UP = 100
STILL_S, GOING_S = 0.2, 0.05
DEADLINE_MS = 4000


@contextmanager
def slow(process: psutil.Process) -> Iterator[None]:
    """The process stands still most of the time."""
    done = threading.Event()

    def stutter() -> None:
        while not done.wait(GOING_S):
            process.send_signal(signal.SIGSTOP)
            done.wait(STILL_S)
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def dead(process: psutil.Process) -> Iterator[None]:
    """The process stands still."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def measure(service: Service, asked: Iterator[str], seconds: float) -> dict[str, float]:
    """Figures of one number of shards."""

    def ask(side: Side, clients: int, number: int | None = None) -> Load:
        return asyncio.run(load(side, asked, clients, seconds, number))

    side = service.side(k=K, mode="dense")
    ask(side, MANY, WARM_UP)
    (ingress,) = service.replicas("ServeReplica", "ingress")
    one, before = ask(side, 1), ingress.cpu_times()
    many, after = ask(side, MANY), ingress.cpu_times()
    cpu = (after.user + after.system - before.user - before.system) / len(many.seconds)
    found = {"router_cpu_ms": 1000 * cpu, "per_second": many.per_second}
    (shard,) = service.replicas("ServeReplica", "shard-0")
    with slow(shard):
        with_slow = ask(side, MANY)
    with dead(shard):
        partial = service.side(k=K, mode="dense", allow_partial=True, deadline_ms=DEADLINE_MS)
        with_dead = ask(partial, MANY)
    for name, of in (("one_", one), ("", many), ("slow_", with_slow), ("dead_", with_dead)):
        found |= {f"{name}p50_ms": of.percentile(50), f"{name}p99_ms": of.percentile(99)}
    return {**found, "dead_partial": with_dead.partial / len(with_dead.seconds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[2, 8, 32, 50])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--work", type=Path, default=Path("runs/fan_out"))
    arguments = parser.parse_args()
    asked, found = questions(), {}
    for shards in arguments.shards:
        release = make_release(arguments.chunks, shards, arguments.work.resolve())
        with serving(release, arguments.work.resolve() / "service") as service:
            figures: dict[str, Any] = measure(service, asked, arguments.seconds)
        found[shards] = {name: round(value, 2) for name, value in figures.items()}
        print(f"{shards} shards: {found[shards]}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
