"""Building FAISS IVF lists of codes, and finding out how many of them a query must read."""

from typing import Any, Literal

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from serving.vector_index import CoarseIndex

Codes = Literal["sq8", "rabitq", "pq4"]
"""Bytes a row of d dimensions: d with 8-bit scalar quantisation, d / 8 and 8 more with RaBitQ (Gao and Long, 2024),
d / 6 with 4-bit product quantisation (d / 8 where 3 does not divide d), scanned in registers (André et al., 2015)."""
TRAINED_PER_LIST = 40
BLOCK = 100_000
"""Rows that are in memory as float32 at once, beside those that the lists are trained on."""
QUERIES = 256
WORDS = 4
"""Of a phrase that stands for a query: so the nearest rows are about as far as they are from questions."""
RECALL = 0.97
"""Of the 10 rows that all lists together would find, that the number of lists to read is chosen for."""


def number_of_lists(rows: int) -> int:
    """Of so many rows."""
    return max(1, min(round(2 * rows**0.5), rows // TRAINED_PER_LIST))


def phrases(texts: pa.ChunkedArray, seed: int = 0) -> list[str]:
    """Up to QUERIES phrases out of texts."""
    random = np.random.default_rng(seed)
    found = []
    for row in random.choice(len(texts), min(QUERIES, len(texts)), replace=False):
        words = texts[int(row)].as_py().split()
        start = int(random.integers(max(1, len(words) - WORDS + 1)))
        found.append(" ".join(words[start : start + WORDS]))
    return found


def build_lists(vectors: NDArray[np.float16], codes: Codes, seed: int = 0) -> Any:
    """Lists of codes (faiss.IndexIVF) of unit vectors (rows, dimension), which may lie in a mapped file.

    Clusters on GPUs where FAISS has some.
    """
    rows, dimension = vectors.shape
    n_lists = number_of_lists(rows)
    factory = f"IVF{n_lists},{_factory(codes, dimension)}"
    lists: Any = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
    random = np.random.default_rng(seed)
    if getattr(faiss, "get_num_gpus", int)():
        lists.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dimension))
    chosen = np.sort(random.choice(rows, min(rows, n_lists * TRAINED_PER_LIST), replace=False))
    lists.train(vectors[chosen].astype(np.float32))
    for start in range(0, rows, BLOCK):
        lists.add(vectors[start : start + BLOCK].astype(np.float32))
    return lists


def lists_to_read(lists: Any, vectors: NDArray[np.float16], queries: NDArray[np.float32]) -> int:
    """The least number, in steps of an eighth, with which unit queries find RECALL of what all lists would find."""
    depth = min(10, len(vectors))
    expected = CoarseIndex(lists, vectors, lists.nlist).nearest(queries, depth)
    nprobe = 1
    while nprobe < lists.nlist:
        found = CoarseIndex(lists, vectors, nprobe).nearest(queries, depth)
        if np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)]) >= RECALL:
            break
        nprobe += -(-nprobe // 8)
    return min(nprobe, int(lists.nlist))


def _factory(codes: Codes, dimension: int) -> str:
    if codes != "pq4":
        return {"sq8": "SQ8", "rabitq": "RaBitQ"}[codes]
    of_each = next(size for size in (3, 4, 2, 1) if dimension % size == 0)
    return f"PQ{dimension // of_each}x4fs"
