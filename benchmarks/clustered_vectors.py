"""Unit vectors that lie like those of an embedding model, and metadata of notes for them."""

import numpy as np
from numpy.typing import NDArray

DIMENSION = 384
CLUSTERS_PER_ROOT = 4
SPREAD = 0.6
"""Of a cluster: the cosine of a row and its centre is about 0.86, that of two of its rows 0.74."""
INTRINSIC = 48
"""Directions in which clusters differ among themselves: embeddings fill few of their dimensions."""
BLOCK = 100_000


def clustered(rows: int, seed: int = 0, centres_seed: int = 0) -> NDArray[np.float32]:
    """(rows, DIMENSION), float32; rows of another seed are of the same clusters, as queries are."""
    draw = np.random.default_rng(centres_seed)
    basis = np.linalg.qr(draw.normal(size=(DIMENSION, INTRINSIC)))[0].T.astype(np.float32)
    centres = _unit(draw.normal(size=(4096, INTRINSIC)).astype(np.float32) @ basis)
    random = np.random.default_rng([seed, centres_seed])
    found = np.empty((rows, DIMENSION), np.float32)
    for start in range(0, rows, BLOCK):
        stop = min(rows, start + BLOCK)
        # Few clusters hold most rows, as few topics most notes.
        of = (len(centres) * random.random(stop - start) ** 2).astype(int)
        near = random.normal(size=(stop - start, INTRINSIC)).astype(np.float32) @ basis
        noise = random.normal(size=(stop - start, DIMENSION)).astype(np.float32)
        found[start:stop] = _unit(centres[of] + SPREAD * _unit(0.8 * _unit(near) + 0.6 * _unit(noise)))
    return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
