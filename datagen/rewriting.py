"""Notes told again about other things in other words, so that the names of a graph are met in the middle of real text.

The notes of a site mention a small part of what a graph knows, and mostly by one name. Here the mentions of a note are
replaced, each by a name of another concept of its semantic type or by another name of its own concept, short forms
among them. Source: mention replacement and synonym replacement of Dai & Adel 2020, arXiv 2010.11683.
"""

import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from datagen.expansion import concepts_named
from datagen.graph.artefact import BuiltGraph
from datagen.matching import Matcher
from datagen.schwartz_hearst import Definition, is_short_form

LONGEST_NAME = 4
"""Words of a name that is put into a text; longer ones are titles of a classification."""
SHORTEST_NAME = 4
"""Characters."""
_NO_PROSE = frozenset("[](),;:")
_RARE = 0.1
"""Share of the uses of a short form below which a meaning of it is not put into a text."""
_TRIES = 20


class RewritingSettings(BaseModel):
    """How notes are told again."""

    copies: int = Field(default=0, ge=0)
    """Of every note."""
    other_concept: float = Field(default=0.5, ge=0, le=1)
    """Share of the terms of a note for which another concept is put."""
    other_name: float = Field(default=0.4, ge=0, le=1)
    """Share of the terms, these among them, for which another name is put."""
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

    def __init__(self, graph: BuiltGraph, matcher: Matcher, settings: RewritingSettings) -> None:
        self._graph, self._matcher, self._settings = graph, matcher, settings

    def rewrite(
        self, name: str, text: str, spans: Sequence[tuple[int, int]], excluded_terms: frozenset[str] = frozenset()
    ) -> Rewritten:
        """The note with other mentions, the same for the same `name`; `excluded_terms` are not put into it.

        A term becomes the same everywhere in the note. Ends of spans within a mention move behind it.
        """
        draw = random.Random(f"{self._settings.seed}:{name}")
        matches = self._matcher.find(text)
        replacements: dict[str, str | Definition | None] = {}
        for match in matches:
            if match.term not in replacements:
                replacements[match.term] = self._replacement(match.term, draw, excluded_terms)
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

    def _replacement(self, term: str, draw: random.Random, excluded: frozenset[str]) -> str | Definition | None:
        """Another name, a short form with what it stands for, or None for a term that is to stay."""
        named = concepts_named(self._graph, term)
        if not named:
            return None
        concept = named[0]
        if draw.random() < self._settings.other_concept:
            concept = self._other_concept(concept, draw, excluded)
        elif draw.random() >= self._settings.other_name:
            return None
        names = self._names(concept, excluded)
        short_forms = [Definition(short, name) for name in names for short in self._short_forms.get(name, ())]
        others: list[str | Definition] = [*(name for name in names if name != term), *short_forms]
        return draw.choice(others) if others else None

    def _other_concept(self, concept: str, draw: random.Random, excluded: frozenset[str]) -> str:
        """One of the same semantic type that has several names; the concept itself where none is found."""
        peers = self._graph_by_type[draw.choice(self._graph.semantic_types(concept))]
        for _ in range(_TRIES):
            other = self._graph.concept_at(int(draw.choice(peers)))
            if len(self._names(other, excluded)) > 1:
                return other
        return concept

    def _names(self, concept: str, excluded: frozenset[str]) -> list[str]:
        """Those that may stand in prose."""
        return [name for name in self._graph.terms_of(concept) if name not in excluded and self._is_prose(name)]

    def _is_prose(self, name: str) -> bool:
        is_short = len(name) < SHORTEST_NAME or self._graph.is_abbreviation(name)
        return not (is_short or len(name.split()) > LONGEST_NAME or _NO_PROSE & set(name))

    @cached_property
    def _graph_by_type(self) -> dict[str, np.ndarray]:
        return self._graph.concepts_by_type()

    @cached_property
    def _short_forms(self) -> dict[str, list[str]]:
        """Of long forms, by the inventories."""
        found = defaultdict(list)
        for short_form in filter(is_short_form, self._graph.short_forms()):
            senses = self._graph.senses(short_form)
            fewest = _RARE * sum(sense.uses for sense in senses)
            for sense in senses:
                if sense.uses >= fewest:
                    found[sense.long_form].append(short_form)
        return found


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
