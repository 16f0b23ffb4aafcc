"""Searches over HTTP, end to end, against what a team would write first (benchmarks/fastapi_peer.py).

    python -m benchmarks.search_http [--chunks 100000] [--turns 3] [--seconds 20]

Ours is the service of `benchmarks.served` with two shards; the peer has no auth. Both have every core of the machine
and the same vectors, in bf16 or int8, whichever is the processor's; ours encodes queries in it as well. Sides take
turns, each alone on the machine, after a warm-up; figures are medians over the turns. Recall is that of the 10 nearest
by exact search with queries in float32, ties included; the peer's efSearch is the greatest whose recall is not above
ours.

The last line is JSON: `throughput_ratio_32` and `p99_ratio_32` (32 clients), `p50_ratio_1` (one), ours over the peer's;
`recall_ours`, `recall_peer`; the hybrid mode's figures beside.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.served import READY_S, Side, load, make_release, questions, running, serving
from corpus.store import Store
from encoders.encoder import Encoder
from encoders.spec import BUNDLED
from ray_jobs.serve_environment import free_port
from serving.manifest import read_manifest

RUNS = Path("runs/search_http")
SHARDS, K, MANY = 2, 10, 32
WARM_UP = 200
JUDGED = 400
"""Queries whose answers are compared with exact search."""
EF_SEARCHES = (16, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 512)
NEAR = 1e-4
"""Scores closer than this are ties: copies of a sentence are as good as each other, and shards keep float16."""


def write_peer(release: Path, folder: Path) -> tuple[list[str], np.ndarray]:
    """Chunk ids and vectors of the release, as the peer has them."""
    manifest = read_manifest(release)
    store = Store(Path(manifest.store))
    columns = ["chunk_id", "patient_id", "note_id", "note_type", "text"]
    rows = store.chunks().to_table(columns).sort_by("chunk_id")
    vectors = store.vectors(manifest.vectors_name).to_table(["chunk_id", "vector"]).sort_by("chunk_id")
    matrix = vectors["vector"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "passages.json").write_text(json.dumps(rows.select(columns).to_pylist()))
        np.save(folder / "vectors.npy", matrix)
    return rows["chunk_id"].to_pylist(), matrix


def recall(hits: Mapping[str, Sequence[str]], ids: Sequence[str], vectors: np.ndarray) -> float:
    """Share of the hits that are among the nearest of all chunks, ties included."""
    place = {chunk: at for at, chunk in enumerate(ids)}
    scores = Encoder.load(BUNDLED).encode_queries(list(hits)) @ vectors.T
    found = 0
    for of_query, chunks in zip(scores, hits.values(), strict=True):
        worst = np.partition(of_query, -K)[-K] - NEAR
        found += sum(of_query[place[chunk]] >= worst for chunk in set(chunks))
    return found / (K * len(hits))


@contextmanager
def theirs(folder: Path) -> Iterator[Side]:
    """The peer."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.fastapi_peer", str(folder), str(port)]
    with running(command, f"{url}/openapi.json", folder / "peer.log"):
        yield Side(f"{url}/search", {}, {"k": K})


def _at(side: Side, ef_search: int) -> Side:
    return side._replace(body={**side.body, "ef_search": ef_search})


def measure(side: Side, asked: Iterator[str], seconds: float) -> dict[str, Any]:
    """Of one turn of a side: figures with many clients and with one, and the answers of some queries."""
    asyncio.run(load(side, asked, MANY, seconds, WARM_UP))
    many = asyncio.run(load(side, asked, MANY, seconds))
    one = asyncio.run(load(side, asked, 1, seconds))
    return {
        "per_second": many.per_second,
        "p50": many.percentile(50),
        "p99": many.percentile(99),
        "p50_alone": one.percentile(50),
        "hits": dict(islice(one.hits.items(), JUDGED)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--work", type=Path, default=RUNS)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    release = make_release(arguments.chunks, SHARDS, work)
    ids, vectors = write_peer(release, work / "peer")
    asked, ef_search = questions(), EF_SEARCHES[0]
    turns: dict[str, list[dict[str, Any]]] = {"ours": [], "hybrid": [], "peer": []}
    recalls: dict[str, float] = {}
    for _ in range(arguments.turns):
        for name, mode in (("ours", "dense"), ("hybrid", "hybrid")):
            with serving(release, work / "ours") as service:
                turns[name].append(measure(service.side(k=K, mode=mode), asked, arguments.seconds))
        recalls.setdefault("ours", recall(turns["ours"][0]["hits"], ids, vectors))
        with theirs(work / "peer") as side:
            for more in EF_SEARCHES if "peer" not in recalls else ():
                judged = asyncio.run(load(_at(side, more), asked, 1, READY_S, JUDGED)).hits
                found_there = recall(judged, ids, vectors)
                if "peer" in recalls and found_there > recalls["ours"]:
                    break
                ef_search, recalls["peer"] = more, found_there
            side = _at(side, ef_search)
            turns["peer"].append(measure(side, asked, arguments.seconds))
        for name, of in turns.items():
            print(f"{name}: {_line(of[-1])}", flush=True)
    figures = {
        name: {figure: median(turn[figure] for turn in of) for figure in ("per_second", "p50", "p99", "p50_alone")}
        for name, of in turns.items()
    }
    found = {
        **{name: {figure: round(value, 4) for figure, value in of.items()} for name, of in figures.items()},
        "chunks": len(ids),
        "ef_search": ef_search,
        "throughput_ratio_32": round(figures["ours"]["per_second"] / figures["peer"]["per_second"], 2),
        "p99_ratio_32": round(figures["ours"]["p99"] / figures["peer"]["p99"], 2),
        "p50_ratio_1": round(figures["ours"]["p50_alone"] / figures["peer"]["p50_alone"], 2),
        "recall_ours": round(recalls["ours"], 4),
        "recall_peer": round(recalls["peer"], 4),
    }
    print(json.dumps(found))


def _line(turn: Mapping[str, Any]) -> str:
    many = f"{turn['per_second']:.0f}/s, p50 {turn['p50']:.0f} ms, p99 {turn['p99']:.0f} ms"
    return f"{MANY} clients {many}; one client p50 {turn['p50_alone']:.1f} ms"


if __name__ == "__main__":
    main()
