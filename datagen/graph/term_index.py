"""A set of terms on disk, memory-mapped, and the scan that finds where the longest of them stand in a text.

`<name>.marisa` is the trie, `<name>.single.npy` and `<name>.pair.npy` are the filters of `datagen.graph.pieces`.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import marisa_trie
import numpy as np

from datagen.graph.pieces import ENDS, bitmap, find_pieces, in_bitmap

_TERMS_AT_ONCE = 100_000
_MOST_REMEMBERED = 500_000


def write_term_index(folder: Path, name: str, terms: Iterator[str]) -> marisa_trie.Trie:
    """Write the index of the non-empty `terms`; the trie, which numbers them."""
    trie = marisa_trie.Trie(term for term in terms if term)
    trie.save(str(folder / f"{name}.marisa"))
    single, pair = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    remaining = trie.iterkeys()
    while batch := list(islice(remaining, _TERMS_AT_ONCE)):
        pieces = find_pieces("\n".join(batch))
        lengths = np.fromiter(map(len, batch), np.int64, len(batch))
        begins = np.cumsum(lengths + 1) - lengths - 1
        first, goes_on = np.isin(pieces.starts, begins), ~np.isin(pieces.ends, begins + lengths)
        single.append(pieces.heads[first & ~goes_on])
        pair.append(pieces.pairs[first & goes_on])
    np.save(folder / f"{name}.single.npy", bitmap(np.unique(np.concatenate(single))))
    np.save(folder / f"{name}.pair.npy", bitmap(np.unique(np.concatenate(pair))))
    return trie


class TermIndex:
    """Opened, nothing is read before it is asked for. Not for use by several threads: it remembers single words."""

    def __init__(self, folder: Path, name: str, longest: int) -> None:
        self.trie = marisa_trie.Trie().mmap(str(folder / f"{name}.marisa"))
        self._single, self._pair = (
            np.asarray(np.load(folder / f"{name}.{filter_}.npy", mmap_mode="r")) for filter_ in ("single", "pair")
        )
        self._longest = longest
        self._lengths: dict[str, int] = {}
        """A piece of text -> the length of the longest term within it; 0 for none."""

    def scan(self, text: str, accepts: Callable[[int, int], bool] | None = None) -> Iterator[tuple[int, int]]:
        """The spans of the terms in a lower-cased text: at each place the longest that ends at a boundary.

        Scanning goes on behind it. `accepts(start, end)` may refuse a term where it stands; then the next longest
        counts, of terms with white space in them.
        """
        pieces = find_pieces(text)
        within, goes_on = in_bitmap(self._single, pieces.heads), in_bitmap(self._pair, pieces.pairs)
        hits = within | goes_on
        resume = 0
        for start, end, beyond in zip(
            pieces.starts[hits].tolist(), pieces.ends[hits].tolist(), goes_on[hits].tolist(), strict=True
        ):
            if start < resume:
                continue
            if not beyond:
                piece = text[start:end]
                length = self._lengths.get(piece)
                if length is None:
                    length = self._learn(piece)
                if length and (accepts is None or accepts(start, start + length)):
                    resume = start + length
                    yield start, resume
                continue
            for length in self._bounded(text[start : start + self._longest + 1]):
                if accepts is None or accepts(start, start + length):
                    resume = start + length
                    yield start, resume
                    break

    def _bounded(self, text: str) -> Iterator[int]:
        """The lengths of the terms that `text` begins with and that end at a boundary, longest first."""
        for term in reversed(self.trie.prefixes(text)):
            end = len(term)
            if end == len(text) or text[end] in ENDS or text[end].isspace():
                yield end

    def _learn(self, piece: str) -> int:
        if len(self._lengths) >= _MOST_REMEMBERED:
            self._lengths.clear()
        length = self._lengths[piece] = next(self._bounded(piece), 0)
        return length
