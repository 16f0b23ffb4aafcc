"""What benchmarks of the service share: a release of a synthetic hospital, the service, and clients who ask it.

The service is `python -m ray_jobs.serve` as its recipe has it, with API keys and audit on. Every query is new: two
names of the built-in graph that were not asked together before. Clients wait for an answer before they ask again.
"""

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
import psutil

from datagen.graph.builtin import read_builtin
from encoders.conversion import openvino
from encoders.number_format import NumberFormat
from ray_jobs.serve_environment import free_port
from serving.access.keys import create_key

CHUNKS_A_PATIENT = 10
READY_S = 600


class Side(NamedTuple):
    """How to ask it."""

    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class Service(NamedTuple):
    """The service, as long as it runs."""

    url: str
    headers: dict[str, str]
    process: "subprocess.Popen[bytes]"

    def side(self, **body: Any) -> Side:
        """Searches with these fields."""
        return Side(f"{self.url}/v1/search", self.headers, body)

    def replicas(self, *parts: str) -> list[psutil.Process]:
        """Those of its processes whose title has all these parts."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in children if all(part in " ".join(each.cmdline()) for part in parts)]


class Load(NamedTuple):
    """What some clients met."""

    seconds: list[float]
    """Of every answer."""
    per_second: float
    hits: dict[str, list[str]]
    """Chunk ids by query."""
    partial: int
    """Answers that said that shards are missing."""

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share (in percent) of the answers came."""
        return float(np.percentile(self.seconds, share)) * 1000


def questions() -> Iterator[str]:
    """Queries that are never the same, in an order that tells nothing."""
    names = sorted(set(read_builtin().concepts["preferred_term"].to_pylist()))
    pairs = np.array(list(combinations(range(len(names)), 2)))
    for one, other in np.random.default_rng(0).permutation(pairs):
        yield f"{names[one]} with {names[other]}"


async def load(side: Side, asked: Iterator[str], clients: int, seconds: float, number: int | None = None) -> Load:
    """Ask with so many clients at once, for so long or until `number` were asked."""
    took: list[float] = []
    hits: dict[str, list[str]] = {}
    partial = 0
    begun = time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal partial
        while time.perf_counter() - begun < seconds and (number is None or len(hits) < number):
            query = next(asked)
            hits[query] = []
            sent = time.perf_counter()
            async with session.post(side.url, json={**side.body, "query": query}, headers=side.headers) as answer:
                body = await answer.json()
            took.append(time.perf_counter() - sent)
            if answer.status != 200:
                raise RuntimeError(f"{side.url}: {answer.status} {body}")
            hits[query] = [hit["chunk_id"] for hit in body["hits"]]
            partial += body.get("partial", False)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return Load(took, len(took) / (time.perf_counter() - begun), hits, partial)


@contextmanager
def running(command: Sequence[str], ready: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server, from when `ready` answers until the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        asyncio.run(_answers(ready, process, log))
        yield process
    finally:
        process.terminate()
        process.wait(timeout=120)


async def _answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    begun = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while time.monotonic() - begun < READY_S and process.poll() is None:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)
    raise RuntimeError(f"{url} does not answer; see {log}")


def number_format() -> NumberFormat:
    """In which chunks and queries are encoded: what docs/search.md calls the fast one on this processor."""
    return "bf16" if "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "int8"


def make_release(chunks: int, shards: int, runs: Path) -> Path:
    """A release of a synthetic hospital, made by the jobs and kept."""
    hospital, store, release = runs / "hospital", runs / "store", runs / f"release-{shards}"
    patients = f"hospital.patients={chunks // CHUNKS_A_PATIENT}"
    run_job("generate_hospital", patients, f"output.path={hospital}")
    run_job("prepare_corpus", f"notes.path={hospital / 'notes'}", "notes.format=parquet", f"store.path={store}")
    index = [f"index.shards={shards}", f"index.number_format={number_format()}"]
    run_job("build_index", f"store.path={store}", f"output.path={release}", *index)
    return release


def run_job(name: str, *settings: str) -> None:
    """Run a job with its recipe and these settings."""
    command = [sys.executable, "-m", f"ray_jobs.{name}", "--config", f"recipes/{name}.yaml"]
    subprocess.run([*command, *(f"--set={each}" for each in settings)], check=True)


def write_access(folder: Path) -> str:
    """An access folder of one policy, and a key."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policies.yaml").write_text("everyone: {patients: all}\n")
    return create_key(folder, ["read", "write"], "everyone", datetime.now(UTC) + timedelta(days=1))


@contextmanager
def serving(release: Path, folder: Path) -> Iterator[Service]:
    """The service, as its recipe has it, with keys and audit."""
    key, port = write_access(folder / "access"), free_port()
    (folder / "audit.key").write_text(secrets.token_hex(32))
    settings = {
        "release.path": release,
        "http.port": port,
        "access.path": folder / "access",
        "audit.path": folder / "audit",
        "audit.local": folder / "audit_local",
        "audit.key_file": folder / "audit.key",
    }
    command = [sys.executable, "-m", "ray_jobs.serve", "--config", "recipes/serve.yaml"]
    command += [f"--set={name}={value}" for name, value in settings.items()]
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}/readyz", folder / "service.log") as process:
        yield Service(url, {"Authorization": f"Bearer {key}"}, process)
