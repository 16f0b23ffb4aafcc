"""The vectors of a segment's rows, and the nearest of them: exact, or through coarse codes and exact scores after."""

from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Numbers of rows, ascending."""
Vectors = NDArray[np.float32]

_FAISS: Any = faiss
"""Its stubs do not know the constructors in Python, which keep what they are given alive."""
BLOCK = 16_384
"""Rows that are copied out at once to be scored."""
HALF_BLOCK = 512
"""The same of float16: what stays in a processor's cache."""
SCANNED = 20_000
"""Up to so many allowed rows of a coarse index are scored exactly, one by one: it is as fast, and misses none."""
CANDIDATES = 4
"""Times as many rows as are wanted come from the codes, to be ranked by their exact scores."""
FEWEST_CANDIDATES = 200


class VectorIndex(Protocol):
    """Unit vectors by row number."""

    vectors: NDArray[Any]
    """(rows, dimension), float32 or float16."""

    def nearest(self, queries: Vectors, depth: int, rows: Rows | None = None) -> list[Rows]:
        """Of each query (queries, dimension) the `depth` rows of the greatest cosines, best first, among `rows`.

        `depth` is at most the number of rows there are.
        """


class ExactIndex:
    """Every row is scored. The vectors may lie in a mapped file."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def nearest(self, queries: Vectors, depth: int, rows: Rows | None = None) -> list[Rows]:
        """See VectorIndex."""
        if rows is None:
            return list(faiss.knn(queries, self.vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)[1])
        return [rows[_best(scores, depth)] for scores in _scores(self.vectors, queries, rows)]


class CoarseIndex:
    """Lists of codes (FAISS IVF) name candidates, the vectors (float16, in a mapped file) rank them."""

    def __init__(self, lists: Any, vectors: NDArray[np.float16], nprobe: int) -> None:
        """`lists` (faiss.IndexIVF); `nprobe` of them are read for a query of all rows, more for a query of some."""
        self.vectors = vectors
        self._lists = lists
        self._nprobe = nprobe

    def nearest(self, queries: Vectors, depth: int, rows: Rows | None = None) -> list[Rows]:
        """See VectorIndex."""
        if rows is not None and len(rows) <= SCANNED:
            return [self._best_of(rows, query, depth) for query in queries]
        wanted = max(CANDIDATES * depth, FEWEST_CANDIDATES)
        _, found = self._lists.search(queries, wanted, params=self._parameters(rows))
        ranked = [self._best_of(each[each >= 0], query, depth) for query, each in zip(queries, found, strict=True)]
        # The lists that were read may hold fewer than are wanted; a filter never makes an answer short.
        allowed = np.arange(len(self.vectors)) if rows is None else rows
        return [
            each if len(each) == depth else self._best_of(allowed, query, depth)
            for query, each in zip(queries, ranked, strict=True)
        ]

    def _parameters(self, rows: Rows | None) -> Any:
        if rows is None:
            return _FAISS.SearchParametersIVF(nprobe=self._nprobe)
        nprobe = min(self._lists.nlist, self._nprobe * len(self.vectors) // len(rows))
        mask = np.zeros(len(self.vectors), bool)
        mask[rows] = True
        selector = _FAISS.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        return _FAISS.SearchParametersIVF(nprobe=nprobe, sel=selector)

    def _best_of(self, rows: Rows, query: NDArray[np.float32], depth: int) -> Rows:
        """The best `depth` of these rows by their exact scores. FAISS reads float16 faster than NumPy turns it."""
        block: Any = faiss.IndexScalarQuantizer(
            self.vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        found, scores = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        for start in range(0, len(rows), HALF_BLOCK):
            some = rows[start : start + HALF_BLOCK]
            block.reset()
            block.add_sa_codes(self.vectors[some].view(np.uint8))
            score, place = block.search(query[None], min(depth, len(some)))
            found.append(some[place[0]])
            scores.append(score[0])
        return np.concatenate(found)[_best(np.concatenate(scores), depth)]


def _scores(vectors: NDArray[Any], queries: Vectors, rows: Rows) -> Vectors:
    """Cosines (queries, rows)."""
    found = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = vectors[rows[start : start + BLOCK]].astype(np.float32, copy=False)
        np.matmul(queries, block.T, out=found[:, start : start + BLOCK])
    return found


def _best(scores: NDArray[np.float32], depth: int) -> Rows:
    """Places of the `depth` greatest, in descending order, equal ones by place."""
    if depth < len(scores):
        least = np.partition(scores, len(scores) - depth)[len(scores) - depth]
        above, level = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        places = np.concatenate([above, level[: depth - len(above)]])
    else:
        places = np.arange(len(scores))
    return places[np.argsort(-scores[places], kind="stable")]
