"""What the knowledge graph adds to the terms matched in a chunk, with DR.EHR's counts.

Per matched term: up to 2 synonyms, and up to 2 terms of each of up to 2 hypernyms and up to 2 related concepts. Where
there are more to choose from, the profile decides:

- `drehr`: hypernyms are parents; the preferred term comes first and the rest is drawn at random (DR.EHR's expansion
  step, arXiv 2507.18583 and its code of 2026-04).
- `nearest`: hypernyms are ancestors, the nearest first, and never one of the two top levels of the hierarchy, which
  say nothing ("disease", "phenotypic abnormality"); of the terms of a concept those that the notes themselves use
  most come first.
"""

import random
from collections.abc import Collection, Iterable, Mapping
from itertools import chain, islice
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from datagen.graph.artefact import BuiltGraph


class ExpansionSettings(BaseModel):
    """How much is added per matched term, and what comes first; 0 switches a kind off."""

    profile: Literal["drehr", "nearest"] = "drehr"
    synonyms: int = Field(default=2, ge=0)
    parents: int = Field(default=2, ge=0)
    terms_per_parent: int = Field(default=2, ge=0)
    related: int = Field(default=2, ge=0)
    terms_per_related: int = Field(default=2, ge=0)
    seed: int = 0
    """The choice is a pure function of the seed and the chunk id: no order of work changes it."""


class Expanded(NamedTuple):
    """An added term (normalised), its concept, how it came in and the matched term it was added for.

    `provenance` is synonym, hypernym, relation, or abbreviation: the full name that a matched short form stands for.
    """

    term: str
    concept: str
    provenance: str
    added_for: str


def concepts_named(graph: BuiltGraph, term: str) -> tuple[str, ...]:
    """The concepts that a term in a text stands for; none where that would be a guess.

    Sources that name the same thing alike all count. A short form counts only if its concepts share their name:
    "asd" for autistic behavior and for atrial septal defect is left unresolved.
    """
    concepts = graph.concepts_of(term)
    if graph.is_abbreviation(term) and len({graph.terms_of(concept)[0] for concept in concepts}) > 1:
        return ()
    return concepts


def expand(
    terms: Collection[str],
    chunk_id: str,
    graph: BuiltGraph,
    settings: ExpansionSettings,
    excluded_terms: frozenset[str] = frozenset(),
    frequencies: Mapping[str, int] | None = None,
) -> list[Expanded]:
    """The terms added to a chunk's matched terms (normalised), none of them matched or excluded itself.

    `frequencies` tells the profile `nearest` how often the notes use a term.
    """
    choice = _CHOICES[settings.profile](graph, random.Random(f"{settings.seed}:{chunk_id}"), frequencies or {})
    unwanted = excluded_terms.union(terms)
    added: list[Expanded] = []

    def choose(concepts: Iterable[str], count: int) -> list[_Offer]:
        offers: dict[str, _Offer] = {}
        for concept in concepts:
            for position, term in enumerate(graph.terms_of(concept)):
                if term not in unwanted:
                    offers.setdefault(term, _Offer(term, concept, position == 0))
        return list(offers.values()) if len(offers) <= count else choice.terms(list(offers.values()), count)

    for matched in sorted(set(terms)):
        concepts = concepts_named(graph, matched)
        full_name = "abbreviation" if graph.is_abbreviation(matched) else "synonym"
        for offer in choose(concepts, settings.synonyms):
            provenance = full_name if offer.is_preferred else "synonym"
            added.append(Expanded(offer.term, offer.concept, provenance, matched))
        hypernyms = choice.hypernyms(concepts, settings.parents)
        related = choice.some(_each_once(map(graph.related, concepts)), settings.related)
        for provenance, neighbours, terms_each in (
            ("hypernym", hypernyms, settings.terms_per_parent),
            ("relation", related, settings.terms_per_related),
        ):
            for neighbour in neighbours:
                for offer in choose([neighbour], terms_each):
                    added.append(Expanded(offer.term, offer.concept, provenance, matched))
    return added


class _Offer(NamedTuple):
    term: str
    concept: str
    is_preferred: bool


class _Published:
    """Chooses as DR.EHR's code does."""

    def __init__(self, graph: BuiltGraph, draw: random.Random, frequencies: Mapping[str, int]) -> None:
        self._graph, self._draw, self._frequencies = graph, draw, frequencies

    def terms(self, offers: list[_Offer], count: int) -> list[_Offer]:
        first = [offer for offer in offers if offer.is_preferred][: min(1, count)]
        rest = [offer for offer in offers if offer not in first]
        return first + self._draw.sample(rest, count - len(first))

    def hypernyms(self, concepts: tuple[str, ...], count: int) -> list[str]:
        return self.some(_each_once(map(self._graph.parents, concepts)), count)

    def some(self, concepts: list[str], count: int) -> list[str]:
        return self._draw.sample(concepts, count) if len(concepts) > count else concepts


class _Nearest(_Published):
    """Chooses near ancestors and terms in use."""

    def terms(self, offers: list[_Offer], count: int) -> list[_Offer]:
        return sorted(offers, key=lambda offer: -self._frequencies.get(offer.term, 0))[:count]

    def hypernyms(self, concepts: tuple[str, ...], count: int) -> list[str]:
        ancestors = _each_once(map(self._graph.ancestors, concepts))
        return list(islice((ancestor for ancestor in ancestors if self._says_something(ancestor)), count))

    def _says_something(self, concept: str) -> bool:
        return any(self._graph.parents(parent) for parent in self._graph.parents(concept))


_CHOICES: dict[str, type[_Published]] = {"drehr": _Published, "nearest": _Nearest}


def _each_once(groups: Iterable[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(groups)))
