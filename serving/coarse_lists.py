"""Building FAISS IVF lists of codes, and finding out how many of them a query must read."""

from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from serving.vector_index import CoarseIndex

Codes = Literal["sq8", "rabitq"]
FACTORY = {"sq8": "SQ8", "rabitq": "RaBitQ"}
"""Bytes a row of d dimensions: d with 8-bit scalar quantisation, d / 8 and 8 more with RaBitQ (Gao and Long, 2024)."""
TRAINED_PER_LIST = 40
BLOCK = 100_000
"""Rows that are in memory as float32 at once, beside those that the lists are trained on."""
SAMPLES = 256
NOISE = 0.5
"""Of the length of a sampled row: what turns it into a query that is near some rows and equal to none."""
RECALL = 0.98
"""Of the 10 rows that all lists together would find, that the number of lists to read is chosen for."""


def build_lists(vectors: NDArray[np.float16], codes: Codes, seed: int = 0) -> tuple[Any, int]:
    """Lists of codes (faiss.IndexIVF) of unit vectors (rows, dimension), and how many of them a query must read.

    The vectors may lie in a mapped file. Clusters on GPUs where FAISS has some.
    """
    rows, dimension = vectors.shape
    n_lists = max(1, min(round(2 * rows**0.5), rows // TRAINED_PER_LIST))
    lists: Any = faiss.index_factory(dimension, f"IVF{n_lists},{FACTORY[codes]}", faiss.METRIC_INNER_PRODUCT)
    random = np.random.default_rng(seed)
    if getattr(faiss, "get_num_gpus", int)():
        lists.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dimension))
    chosen = np.sort(random.choice(rows, min(rows, n_lists * TRAINED_PER_LIST), replace=False))
    lists.train(vectors[chosen].astype(np.float32))
    for start in range(0, rows, BLOCK):
        lists.add(vectors[start : start + BLOCK].astype(np.float32))
    return lists, _lists_to_read(lists, vectors, random)


def _lists_to_read(lists: Any, vectors: NDArray[np.float16], random: np.random.Generator) -> int:
    """The least number, in steps of a quarter, with which sampled queries find RECALL of what all lists would find."""
    depth = min(10, len(vectors))
    near = vectors[random.choice(len(vectors), min(SAMPLES, len(vectors)), replace=False)].astype(np.float32)
    noise = random.normal(size=near.shape).astype(np.float32)
    queries = near + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    expected = CoarseIndex(lists, vectors, lists.nlist).nearest(queries, depth)
    nprobe = 1
    while nprobe < lists.nlist:
        found = CoarseIndex(lists, vectors, nprobe).nearest(queries, depth)
        if np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)]) >= RECALL:
            break
        nprobe += -(-nprobe // 4)
    return min(nprobe, int(lists.nlist))
