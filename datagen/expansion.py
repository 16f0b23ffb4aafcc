"""What the knowledge graph adds to the terms matched in a chunk, with DR.EHR's counts.

Per matched term: up to 2 synonyms, and up to 2 terms of each of up to 2 parents and up to 2 related concepts. Where
there are more to choose from, the preferred term is taken first and the rest is drawn at random (DR.EHR's
expansion step, arXiv 2507.18583 and its code of 2026-04).
"""

import random
from collections.abc import Collection, Iterable
from itertools import chain
from typing import NamedTuple

from pydantic import BaseModel, Field

from datagen.graph.artefact import BuiltGraph


class ExpansionSettings(BaseModel):
    """How much is added per matched term; 0 switches a kind off."""

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
) -> list[Expanded]:
    """The terms added to a chunk's matched terms (normalised), none of them matched or excluded itself."""
    draw = random.Random(f"{settings.seed}:{chunk_id}")
    unwanted = excluded_terms.union(terms)
    added: list[Expanded] = []
    for matched in sorted(set(terms)):
        concepts = concepts_named(graph, matched)
        full_name = "abbreviation" if graph.is_abbreviation(matched) else "synonym"
        for term, concept, is_preferred in _choose(graph, concepts, settings.synonyms, unwanted, draw):
            added.append(Expanded(term, concept, full_name if is_preferred else "synonym", matched))
        for kind, step, count, terms_each in (
            ("hypernym", graph.parents, settings.parents, settings.terms_per_parent),
            ("relation", graph.related, settings.related, settings.terms_per_related),
        ):
            neighbours = list(dict.fromkeys(chain.from_iterable(map(step, concepts))))
            for neighbour in _drawn(neighbours, count, draw):
                for term, concept, _ in _choose(graph, [neighbour], terms_each, unwanted, draw):
                    added.append(Expanded(term, concept, kind, matched))
    return added


def _choose(
    graph: BuiltGraph, concepts: Iterable[str], count: int, unwanted: frozenset[str], draw: random.Random
) -> list[tuple[str, str, bool]]:
    """Up to `count` terms of the concepts with their concept and whether they are preferred: a preferred one first."""
    offered: dict[str, tuple[str, str, bool]] = {}
    for concept in concepts:
        for position, term in enumerate(graph.terms_of(concept)):
            if term not in unwanted:
                offered.setdefault(term, (term, concept, position == 0))
    candidates = list(offered.values())
    if len(candidates) <= count:
        return candidates
    first = [candidate for candidate in candidates if candidate[2]][: min(1, count)]
    rest = [candidate for candidate in candidates if candidate not in first]
    return first + draw.sample(rest, count - len(first))


def _drawn(items: list[str], count: int, draw: random.Random) -> list[str]:
    return draw.sample(items, count) if len(items) > count else items
