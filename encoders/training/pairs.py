"""Which candidates are positives and which are negatives of each anchor of a batch: sparse, dense a tile at a time."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array


class Pairs(NamedTuple):
    """Of (anchors, candidates)."""

    positives: csr_array
    """Float32: how much each pair weighs as a positive."""
    excluded: csr_array
    """Bool: pairs that are no negatives."""
    copies: np.ndarray | None = None
    """Float32 (candidates,): how often all anchors together drew each candidate, where every copy is a candidate."""

    def tile(self, anchors: slice) -> tuple[np.ndarray, np.ndarray]:
        """Weights of positives and of negatives, float32 (anchors, candidates) both."""
        positives = self.positives[anchors].toarray()
        negatives = (~self.excluded[anchors].toarray()).astype(np.float32)
        if self.copies is not None:
            negatives *= self.copies - positives
        return positives, negatives

    def transposed(self) -> "Pairs":
        """Of (candidates, anchors)."""
        return Pairs(self.positives.T.tocsr(), self.excluded.T.tocsr())
