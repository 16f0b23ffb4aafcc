"""Phrase templates: text with slots `{name}` and choices `{one|other}`, whose options may hold slots and choices."""

import random
import re
from collections.abc import Iterator

_PIECE = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|[^{}]+")
_NEXT_OPTION = re.compile(r"\|(?![^{]*\})")


class Slot(str):
    """The name of a place to fill."""


def pieces(template: str, rng: random.Random) -> Iterator[str]:
    """The template's text and slots in order, with every choice made.

    Unbalanced braces, and a choice in a choice in a choice, raise ValueError.
    """
    found = _PIECE.findall(template)
    if "".join(found) != template:
        raise ValueError(f"unbalanced braces, or more than two deep, in phrase {template!r}")
    for piece in found:
        inside = piece[1:-1]
        if piece[0] != "{":
            yield piece
        elif "|" in inside:
            yield from pieces(rng.choice(_NEXT_OPTION.split(inside)), rng)
        else:
            yield Slot(inside)
