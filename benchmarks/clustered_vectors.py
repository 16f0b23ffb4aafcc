"""Unit vectors that lie like those of an embedding model.

Rows are mixtures of three of 500 topics, common ones and rare ones: no number of clusters is the one to hit. The
constants make 3,389 rows lie like as many chunks under the bundled encoder, whose figures stand after the slash: mean
cosine 0.39 / 0.39, of the nearest row 0.76 / 0.74, of the tenth 0.65 / 0.66; directions that carry the variance
(inverse participation) 56 / 62; of the 10 nearest in the first 4, 8 and 16 of 67 lists 0.73, 0.84 and 0.92 / 0.73,
0.85 and 0.94.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

DIMENSION = 384
TOPICS = 500
MIXED, DECAY = 3, 0.6
"""Topics of a row, and how much less each counts at most than the one before."""
COMMON = 1.0
"""Of a direction that all rows share."""
SPREAD = 0.8
"""Of rows of the same mixture."""
INTRINSIC = 48
"""Directions in which topics differ among themselves: embeddings fill few of their dimensions."""
BLOCK = 100_000


def blocks(rows: int, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """(up to BLOCK, DIMENSION), together `rows`; those of another seed are of the same topics, as queries are."""
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.normal(size=(DIMENSION, INTRINSIC)))[0].T.astype(np.float32)
    topics = _unit(draw.normal(size=(TOPICS, INTRINSIC)).astype(np.float32) @ basis)
    common = COMMON * _unit(draw.normal(size=DIMENSION).astype(np.float32))
    random = np.random.default_rng([seed, 1])
    for start in range(0, rows, BLOCK):
        number = min(BLOCK, rows - start)
        mixture = np.zeros((number, DIMENSION), np.float32)
        for place in range(MIXED):
            # Few topics are those of most rows.
            of = (TOPICS * random.random(number) ** 2).astype(int)
            share = random.random((number, 1)) if place else np.ones((number, 1))
            mixture += (DECAY**place * share).astype(np.float32) * topics[of]
        near = _unit(random.normal(size=(number, INTRINSIC)).astype(np.float32) @ basis)
        noise = _unit(random.normal(size=(number, DIMENSION)).astype(np.float32))
        yield _unit(common + _unit(mixture) + SPREAD * _unit(0.8 * near + 0.6 * noise))


def clustered(rows: int, seed: int = 0) -> NDArray[np.float32]:
    """(rows, DIMENSION); see `blocks`."""
    return np.concatenate([*blocks(rows, seed)])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
