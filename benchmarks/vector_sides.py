"""The indexes that `vector_search` compares. Each is built from unit vectors and searched with more or less effort."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfRq
from numpy.typing import NDArray
from usearch.index import Index

from benchmarks.clustered_vectors import clustered
from serving.coarse_lists import QUERIES, build_lists, lists_to_read
from serving.vector_index import CoarseIndex

K = 10
FAISS: Any = faiss
Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""The ids (queries, K) of the nearest of each query (queries, dimension), by one thread."""
Side = Callable[[int], Search]
"""The search at an effort: lists that are read, or length of the queue of a graph."""


def ours(vectors: NDArray[np.float16], folder: Path) -> Side:
    """A large shard's index; the vectors stay in their file."""
    lists = build_lists(vectors, "pq4")
    nprobe = lists_to_read(lists, vectors, clustered(QUERIES, seed=2))
    print(f"ours: {lists.nlist} lists, of which the build chose to read {nprobe}", flush=True)
    return lambda effort: lambda queries: np.stack(CoarseIndex(lists, vectors, effort).nearest(queries, K))


def faiss_hnsw(vectors: NDArray[np.float16], folder: Path) -> Side:
    """FAISS HNSW, 32 neighbours, efConstruction 100."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    FAISS.IndexHNSWFlat.add(index, vectors.astype(np.float32))
    return _faiss_side(index, lambda effort: FAISS.SearchParametersHNSW(efSearch=effort))


def faiss_ivf_flat(vectors: NDArray[np.float16], folder: Path) -> Side:
    """FAISS IVF-Flat, the power of two of lists next to four times the square root of the rows."""
    n_lists = 2 ** round(np.log2(4 * len(vectors) ** 0.5))
    index: Any = faiss.index_factory(vectors.shape[1], f"IVF{n_lists},Flat", faiss.METRIC_INNER_PRODUCT)
    full = vectors.astype(np.float32)
    index.train(full[:: max(1, len(full) // (40 * n_lists))])
    index.add(full)
    return _faiss_side(index, lambda effort: FAISS.SearchParametersIVF(nprobe=effort))


def _faiss_side(index: Any, parameters: Callable[[int], Any]) -> Side:
    return lambda effort: lambda queries: index.search(queries, K, params=parameters(effort))[1]


def usearch(vectors: NDArray[np.float16], folder: Path) -> Side:
    """usearch's HNSW over float16, with its own defaults of connectivity and expansion."""
    index: Any = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(vectors)), np.asarray(vectors), threads=2)

    def side(effort: int) -> Search:
        def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
            index.expansion_search = effort
            return index.search(queries, K, threads=1).keys.astype(np.int64)

        return search

    return side


def lance_ivf_rq(vectors: NDArray[np.float16], folder: Path) -> Side:
    """LanceDB's IVF with RaBitQ codes, ten times the rows rescored."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(vectors).ravel()), vectors.shape[1])
    table: Any = lancedb.connect(folder).create_table(
        "rows", pa.table({"id": np.arange(len(vectors)), "vector": column})
    )
    partitions = round(len(vectors) ** 0.5)
    table.create_index("vector", config=IvfRq("dot", num_partitions=partitions))

    def side(effort: int) -> Search:
        def search(queries: NDArray[np.float32]) -> NDArray[np.int64]:
            asked = [
                table.search(query).distance_type("dot").nprobes(effort).refine_factor(10).limit(K) for query in queries
            ]
            return np.stack([each.select(["id", "_distance"]).to_arrow()["id"].to_numpy() for each in asked])

        return search

    return side


SIDES: dict[str, Callable[[NDArray[np.float16], Path], Side]] = {
    "ours": ours,
    "faiss hnsw": faiss_hnsw,
    "faiss ivf-flat": faiss_ivf_flat,
    "usearch": usearch,
    "lancedb": lance_ivf_rq,
}
