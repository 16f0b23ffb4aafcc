"""A batch's sequences in parts of similar length, so that little of what is encoded is padding."""

from collections.abc import Sequence

import numpy as np

SHORTEST = 0.5
"""Of the longest sequence in a part: shorter ones begin another."""


def cut(lengths: Sequence[int], part_tokens: int) -> list[np.ndarray]:
    """Positions of the sequences in parts, longest first; each of at most `part_tokens` padded tokens, or one sequence.

    Which part holds what depends on the lengths alone, not on how many workers share the parts.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    parts: list[np.ndarray] = []
    start = 0
    for end in range(1, len(order) + 1):
        longest = lengths[order[start]]
        if end == len(order) or (end - start + 1) * longest > part_tokens or lengths[order[end]] < SHORTEST * longest:
            parts.append(order[start:end])
            start = end
    return parts
