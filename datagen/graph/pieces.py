"""Where terms may begin in a text, found for a whole batch of texts at once, and the filter that knows which do.

A piece runs from one place where a match of DR.EHR's algorithm may begin (behind white space or `(`) to the next; its
head ends at the first character that may end a term. A term whose head no piece shares cannot begin there, and a term
that goes on in a second piece must share that piece's head too. So two hashes a piece, looked up in two bitmaps, rule
out nearly every place without asking the trie; a false alarm costs time, a term is never missed.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

ENDS = frozenset("_~(^+\"#%:?`>$@*[]!&,{;.|}'<\\=)/")
"""A match ends at the end of the text, before white space or before one of these (DR.EHR's published code)."""

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_BITS_A_KEY = 32


class Pieces(NamedTuple):
    """The pieces of a text that begin with a letter or digit: arrays (P,)."""

    starts: np.ndarray
    ends: np.ndarray
    """Where the next piece could begin, less one: white space, `(` or the end of the text."""
    heads: np.ndarray
    """uint64 hash of the head."""
    pairs: np.ndarray
    """uint64 hash of the head and the head of what comes behind `ends`."""


def find_pieces(lowered: str) -> Pieces:
    """The pieces of a lower-cased text."""
    codes = np.frombuffer((lowered + "\n").encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = _kinds()[codes]
    blank, end = kinds & _BLANK > 0, kinds & (_BLANK | _END) > 0
    begins = np.flatnonzero(blank[:-1] & (kinds[1:] & _LETTER > 0)) + 1
    if kinds[0] & _LETTER:
        begins = np.concatenate([[0], begins])
    blanks, ends = np.flatnonzero(blank), np.flatnonzero(end)
    piece_ends = blanks[np.cumsum(blank)[begins]]
    next_end = np.append(ends, len(codes))
    ends_before: np.ndarray = np.cumsum(end) - end
    head_ends = next_end[ends_before[begins]]
    powers, inverses = _powers(1 << len(codes).bit_length())  # few sizes are remembered
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers[: len(codes)])])

    def hashes(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
        return _mixed((sums[stops] - sums[starts]) * inverses[starts])

    heads = hashes(begins, head_ends)
    behind = np.minimum(piece_ends + 1, len(codes) - 1)
    return Pieces(begins, piece_ends, heads, _mixed(heads + hashes(behind, next_end[ends_before[behind]]) * _MIX))


def bitmap(hashes: np.ndarray) -> np.ndarray:
    """A filter of distinct uint64 hashes: uint8 (a power of two,), about 32 bits a hash."""
    size = 1 << max(10, int(len(hashes) * _BITS_A_KEY - 1).bit_length())
    bits = np.zeros(size // 8, np.uint8)
    places = hashes & np.uint64(size - 1)
    np.bitwise_or.at(bits, places >> np.uint64(3), _BIT[places & np.uint64(7)])
    return bits


def in_bitmap(bits: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Whether each hash may be in the filter: bool, as long as `hashes`."""
    places = hashes & np.uint64(len(bits) * 8 - 1)
    return (bits[places >> np.uint64(3)] & _BIT[places & np.uint64(7)]) > 0


_BLANK, _END, _LETTER = np.uint8(1), np.uint8(2), np.uint8(4)
_BIT = np.uint8(1) << np.arange(8, dtype=np.uint8)


@cache
def _kinds() -> np.ndarray:
    """What every code point is: a sum of `_BLANK`, `_END` and `_LETTER`."""
    kinds = np.zeros(0x110000, np.uint8)
    for code in range(0x110000):
        character = chr(code)
        if character.isalnum():
            kinds[code] = _LETTER
        elif character.isspace() or character == "(":
            kinds[code] = _BLANK
        elif character in ENDS:
            kinds[code] = _END
    return kinds


def _mixed(hashes: np.ndarray) -> np.ndarray:
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _MIX
    return hashes ^ (hashes >> np.uint64(31))


@cache
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first powers of the base and of its inverse, modulo 2^64."""
    factors = (np.append(np.uint64(1), np.full(count - 1, base, np.uint64)) for base in (_BASE, _INVERSE))
    powers, inverses = map(np.cumprod, factors)
    return powers, inverses
