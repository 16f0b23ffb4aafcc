"""Nearest vectors without a filter, against FAISS HNSW and IVF-Flat, usearch and LanceDB; and 10M rows in 8 GB.

    pip install -e .[cpu,bench]
    LANCE_LOG=error python -m benchmarks.vector_search [--rows 100000 1000000]
    python -m benchmarks.vector_search --rows 10000000 --only-ours --limit-gb 8

Every side gets the same vectors (rounded to float16) and is searched by two threads, each with batches of 32 queries,
as a shard is. Each reads the least with which its recall@10 is 0.95; then sides take turns, and QPS are medians of the
turns. Memory is the growth of the process's own pages while a side is built; files are what it maps or reads beside.
With --limit-gb a cgroup holds build and search, page cache included (root on Linux).

The last line is JSON: for each size, qps, recall, memory_gb, files_gb and build_s of each side, `ratio_vs_best_peer` in
QPS and, under a limit, `peak_gb`.
"""

import argparse
import ctypes
import gc
import json
import os
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np
from faiss.contrib.exhaustive_search import knn_ground_truth
from numpy.typing import NDArray

from benchmarks.clustered_vectors import DIMENSION, blocks, clustered
from benchmarks.memory_limit import memory_limit

try:
    from benchmarks.vector_sides import SIDES, K, Search
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is not installed; pip install -e .[cpu,bench]") from None

QUERIES, BATCH, THREADS, TURNS = 1024, 32, 2, 7
RECALL = 0.95
EFFORTS = sorted({round(1.15**step) for step in range(50)})
"""Up to 1,000 lists, or rows in the queue of a graph."""


def own_bytes() -> int:
    """Pages of this process that lie in no file, after giving back what is free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # type: ignore[index]


def write_vectors(path: Path, rows: int) -> NDArray[np.float16]:
    """The file of vectors as a shard has it, mapped."""
    file = np.lib.format.open_memmap(path, "w+", np.float16, (rows, DIMENSION))
    start = 0
    for block in blocks(rows):
        file[start : start + len(block)] = block
        start += len(block)
    file.flush()
    del file
    return np.load(path, mmap_mode="r")


def leave_cache(path: Path) -> None:
    """Take the file out of the page cache, so that who reads it next is charged for it."""
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def exact(vectors: NDArray[np.float16], queries: NDArray[np.float32]) -> NDArray[np.int64]:
    """The ids (queries, K) that are right."""
    parts = (vectors[at : at + 100_000].astype(np.float32) for at in range(0, len(vectors), 100_000))
    return knn_ground_truth(queries, parts, K, faiss.METRIC_INNER_PRODUCT)[1]


def ask(search: Search, queries: NDArray[np.float32]) -> tuple[NDArray[np.int64], float]:
    """The ids that are found, and queries a second."""
    batches = [queries[at : at + BATCH] for at in range(0, len(queries), BATCH)]
    with ThreadPoolExecutor(THREADS, initializer=partial(faiss.omp_set_num_threads, 1)) as pool:
        list(pool.map(search, batches[:THREADS]))
        begun = time.perf_counter()
        found = list(pool.map(search, batches))
        return np.concatenate(found), len(queries) / (time.perf_counter() - begun)


def recall(found: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(right, found, strict=True)]))


def built(
    name: str, vectors: NDArray[np.float16], folder: Path, queries: NDArray[np.float32], right: NDArray[np.int64]
) -> tuple[Search, dict[str, float]]:
    """A side's search with the least effort that reaches RECALL, and what it took to build."""
    folder.mkdir()
    before, begun = own_bytes(), time.perf_counter()
    side = SIDES[name](vectors, folder)
    figures = {"build_s": time.perf_counter() - begun, "memory_gb": (own_bytes() - before) / 1e9}
    files = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    figures["files_gb"] = (vectors.nbytes if name == "ours" else files) / 1e9
    for effort in EFFORTS:
        search = side(effort)
        figures |= {"effort": effort, "recall": recall(ask(search, queries)[0], right)}
        if figures["recall"] >= RECALL:
            break
    print(f"{name}: {figures}", flush=True)
    return search, figures


def queries_per_second(searches: dict[str, Search], queries: NDArray[np.float32]) -> dict[str, float]:
    """Medians of the turns."""
    turns: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(TURNS):
        for name, search in searches.items():
            turns[name].append(ask(search, queries)[1])
    print(f"queries/s: {turns}", flush=True)
    return {name: median(each) for name, each in turns.items()}


def compare(rows: int, names: list[str], limit_gb: float | None) -> dict[str, Any]:
    """The figures of each side, and of ours against the best of the others."""
    print(f"{rows:,} rows", flush=True)
    queries = clustered(QUERIES, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        vectors = write_vectors(path, rows)
        right = exact(vectors, queries)
        leave_cache(path)
        with memory_limit(int(limit_gb * 1e9)) if limit_gb else nullcontext() as peak:
            searches, result = {}, {}
            for name in names:
                own = Path(folder) / name.replace(" ", "-")
                searches[name], result[name] = built(name, vectors, own, queries, right)
            for name, qps in queries_per_second(searches, queries).items():
                result[name]["qps"] = qps
            if peak:
                return {**result, "peak_gb": peak() / 1e9}
    best = max([result[name]["qps"] for name in names if name != "ours"], default=0.0)
    return {**result, "ratio_vs_best_peer": result["ours"]["qps"] / best} if best else result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--limit-gb", type=float)
    arguments = parser.parse_args()
    names = ["ours"] if arguments.only_ours else [*SIDES]
    faiss.omp_set_num_threads(THREADS)
    result = {str(rows): compare(rows, names, arguments.limit_gb) for rows in arguments.rows}
    print(json.dumps(json.loads(json.dumps(result), parse_float=lambda each: round(float(each), 3))))


if __name__ == "__main__":
    main()
