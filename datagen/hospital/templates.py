"""Phrase templates: text with slots `{name}` and choices `{one|other}`, which may hold slots and choices themselves."""

import random
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Union


class Slot(NamedTuple):
    """A place to fill."""

    name: str


class Choice(NamedTuple):
    """Alternatives, one of which is written."""

    options: tuple[tuple["Piece", ...], ...]


Piece = Union[str, Slot, Choice]  # noqa: UP007 - Choice refers to it before it is defined


def pieces(template: str, rng: random.Random) -> Iterator[str | Slot]:
    """The template's text and slots in order, with every choice made."""
    return _made(_parse(template), rng)


def _made(parsed: tuple[Piece, ...], rng: random.Random) -> Iterator[str | Slot]:
    for piece in parsed:
        if isinstance(piece, Choice):
            yield from _made(rng.choice(piece.options), rng)
        else:
            yield piece


@lru_cache(maxsize=10_000)
def _parse(template: str) -> tuple[Piece, ...]:
    options, end = _group(template, 0, nested=False)
    if end != len(template):
        raise ValueError(f"unbalanced braces in phrase {template!r}")
    return options[0]


def _group(text: str, at: int, nested: bool) -> tuple[tuple[tuple[Piece, ...], ...], int]:
    """Read options up to the closing brace (or the end at top level, where `|` is plain text)."""
    options: list[list[Piece]] = [[]]
    literal = ""
    while at < len(text) and text[at] != "}":
        if text[at] == "{" or (nested and text[at] == "|"):
            options[-1] += [literal] if literal else []
            literal = ""
            if text[at] == "|":
                options.append([])
            else:
                inner, at = _group(text, at + 1, nested=True)
                is_slot = len(inner) == 1 and len(inner[0]) == 1 and isinstance(inner[0][0], str)
                options[-1].append(Slot(str(inner[0][0])) if is_slot else Choice(inner))
        else:
            literal += text[at]
        at += 1
    options[-1] += [literal] if literal else []
    return tuple(tuple(option) for option in options), at
