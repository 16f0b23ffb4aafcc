"""Building FAISS IVF lists of codes, and finding out how many of them a query must read."""

from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from serving.vector_index import CoarseIndex

Codes = Literal["sq8", "rabitq"]
FACTORY = {"sq8": "SQ8", "rabitq": "RaBitQ"}
"""Bytes a row of d dimensions: d with 8-bit scalar quantisation, d / 8 and 8 more with RaBitQ (Gao and Long, 2024)."""
TRAINED_PER_LIST = 64
SAMPLES = 256
NOISE = 0.5
"""Of the length of a sampled row: what turns it into a query that is near some rows and equal to none."""
RECALL = 0.98
"""Of the 10 nearest, that the number of lists to read is chosen for."""


def build_lists(vectors: NDArray[np.float32], codes: Codes, seed: int = 0) -> tuple[Any, int]:
    """Lists of codes (faiss.IndexIVF) of unit vectors (rows, dimension), and how many of them a query must read.

    Clusters on GPUs where FAISS has some.
    """
    rows, dimension = vectors.shape
    n_lists = max(1, min(2 ** round(np.log2(4 * rows**0.5)), rows // TRAINED_PER_LIST))
    lists: Any = faiss.index_factory(dimension, f"IVF{n_lists},{FACTORY[codes]}", faiss.METRIC_INNER_PRODUCT)
    random = np.random.default_rng(seed)
    if getattr(faiss, "get_num_gpus", int)():
        lists.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dimension))
    chosen = np.sort(random.choice(rows, min(rows, n_lists * TRAINED_PER_LIST), replace=False))
    lists.train(vectors[chosen])
    lists.add(vectors)
    return lists, _lists_to_read(lists, vectors, random)


def _lists_to_read(lists: Any, vectors: NDArray[np.float32], random: np.random.Generator) -> int:
    """The least power of two with which sampled queries find RECALL of their 10 nearest rows."""
    depth = min(10, len(vectors))
    near = vectors[random.choice(len(vectors), min(SAMPLES, len(vectors)), replace=False)]
    noise = random.normal(size=near.shape).astype(np.float32)
    queries = near + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    expected = faiss.knn(queries, vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)[1]
    nprobe = 1
    while nprobe < lists.nlist:
        found = CoarseIndex(lists, vectors, nprobe).nearest(queries, depth)
        if np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)]) >= RECALL:
            break
        nprobe *= 2
    return min(nprobe, int(lists.nlist))
