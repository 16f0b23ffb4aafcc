"""Notes told again about other things in other words, so that the names of a graph are met in the middle of real text.

The notes of a site mention a small part of what a graph knows, and mostly by one name. Here the mentions of a note are
replaced, each by a name of another concept of its semantic type or by another name of its own concept, short forms
among them. Source: mention replacement and synonym replacement of Dai & Adel 2020, arXiv 2010.11683.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, Field

from datagen.expansion import concepts_named
from datagen.graph.artefact import BuiltGraph
from datagen.matching import Matcher
from datagen.prose_names import ProseNames
from datagen.schwartz_hearst import Definition

_TRIES = 20


class RewritingSettings(BaseModel):
    """How notes are told again."""

    copies: int = Field(default=0, ge=0)
    """Of every note."""
    other_concept: float = Field(default=0.5, ge=0, le=1)
    """Share of the terms of a note for which another concept is put."""
    other_name: float = Field(default=0.4, ge=0, le=1)
    """Share of the terms that keep their concept for which another name is put."""
    seed: int = 0


class Rewritten(NamedTuple):
    """A note told again."""

    text: str
    spans: list[tuple[int, int]]
    """Those of the note, where they now lie."""
    definitions: list[Definition]
    """What the short forms stand for that were put into it."""


class Rewriter:
    """Tells notes again."""

    def __init__(self, graph: BuiltGraph, matcher: Matcher, names: ProseNames, settings: RewritingSettings) -> None:
        self._graph, self._matcher, self._names, self._settings = graph, matcher, names, settings

    def rewrite(self, name: str, text: str, spans: Sequence[tuple[int, int]]) -> Rewritten:
        """The note with other mentions, the same for the same `name`.

        A term becomes the same everywhere in the note. Ends of spans within a mention move behind it.
        """
        draw = random.Random(f"{self._settings.seed}:{name}")
        matches = self._matcher.find(text)
        replacements: dict[str, str | Definition | None] = {}
        for match in matches:
            if match.term not in replacements:
                replacements[match.term] = self._replacement(match.term, draw)
        pieces, places, at = [], _Places([], [], []), 0
        for match in matches:
            other = replacements[match.term]
            if other is None:
                continue
            written = other.short_form if isinstance(other, Definition) else _as(text[match.start : match.end], other)
            pieces += [text[at : match.start], written]
            at = match.end
            places.add(match.start, match.end, len(written))
        defined = [other for other in replacements.values() if isinstance(other, Definition)]
        moved = [(places.of(start), places.of(end)) for start, end in spans]
        return Rewritten("".join([*pieces, text[at:]]), moved, defined)

    def _replacement(self, term: str, draw: random.Random) -> str | Definition | None:
        """Another name, a short form with what it stands for, or None for a term that is to stay."""
        named = concepts_named(self._graph, term)
        if not named:
            return None
        concept = named[0]
        if draw.random() < self._settings.other_concept:
            concept = self._other_concept(concept, draw)
        elif draw.random() >= self._settings.other_name:
            return None
        names = self._names.of(concept)
        of_names = (short for name in names for short in self._names.short_forms_of.get(name, ()))
        short_forms = [Definition(short.written, short.long_form) for short in of_names]
        others: list[str | Definition] = [*(name for name in names if name != term), *short_forms]
        return draw.choice(others) if others else None

    def _other_concept(self, concept: str, draw: random.Random) -> str:
        """One of the same semantic type that has several names; the concept itself where none is found."""
        if types := self._graph.semantic_types(concept):
            peers = self._names.by_type[draw.choice(types)]
            for _ in range(_TRIES):
                other = self._graph.concept_at(int(draw.choice(peers)))
                if len(self._names.of(other)) > 1:
                    return other
        return concept


class _Places(NamedTuple):
    """Where the places of a text are after replacements in it, which are added in order."""

    starts: list[int]
    ends: list[int]
    shifts: list[int]
    """Of what lies behind each."""

    def add(self, start: int, end: int, length: int) -> None:
        """`[start, end)` is replaced by something of a length."""
        self.starts.append(start)
        self.ends.append(end)
        self.shifts.append((self.shifts[-1] if self.shifts else 0) + length - (end - start))

    def of(self, place: int) -> int:
        """Where a place is now; one within a replacement moves behind it."""
        before = bisect_left(self.starts, place) - 1
        return max(place, self.ends[before]) + self.shifts[before] if before >= 0 else place


def _as(mention: str, name: str) -> str:
    """The name, with the capitals that the mention has."""
    if mention.isupper():
        return name.upper()
    return name[0].upper() + name[1:] if mention[0].isupper() else name
