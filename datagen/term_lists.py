"""Lists of terms, as problem and medication lists are, made of the graph alone.

Notes mention a small part of a graph's names and abbreviations. A list holds about ten in a few words, so that an
encoder meets all of them at little cost.
"""

import random
from collections.abc import Iterator
from itertools import accumulate, islice
from math import sqrt
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from datagen.graph.artefact import BuiltGraph
from datagen.prose_names import ProseNames

FEWEST, MOST = 6, 14
"""Items of a list."""


class TermListSettings(BaseModel):
    """How many lists are made."""

    number: int = Field(default=0, ge=0)
    short_forms: float = Field(default=0.5, ge=0, le=1)
    """Share of the items that are short forms of the inventories; the others are names of concepts with several."""
    seed: int = 0


class ListItem(NamedTuple):
    """What a list says, and the term (normalised) that it names."""

    written: str
    term: str
    is_short_form: bool


def term_lists(graph: BuiltGraph, names: ProseNames, settings: TermListSettings) -> Iterator[list[ListItem]]:
    """The items of each list. Concepts come in turn, short forms as often as the root of how often they are used."""
    draw = random.Random(settings.seed)
    short_forms, concept_names = names.short_forms, _names_in_turn(graph, names, settings.seed)
    weights = list(accumulate(sqrt(1 + short_form.uses) for short_form in short_forms))
    for _ in range(settings.number):
        size = draw.randint(FEWEST, MOST)
        of_short_forms = sum(draw.random() < settings.short_forms for _ in range(size)) if short_forms else 0
        drawn = draw.choices(short_forms, cum_weights=weights, k=of_short_forms) if of_short_forms else []
        items = [ListItem(short_form.written, short_form.long_form, True) for short_form in drawn]
        items += [ListItem(name, name, False) for name in islice(concept_names, size - of_short_forms)]
        draw.shuffle(items)
        yield items


def _names_in_turn(graph: BuiltGraph, names: ProseNames, seed: int) -> Iterator[str]:
    """A name of each concept that has several, again and again in another order; nothing where none has."""
    generator = np.random.default_rng(seed)
    found = True
    while found:
        found = False
        for place in generator.permutation(graph.n_concepts):
            if len(own := names.of(graph.concept_at(int(place)))) > 1:
                found = True
                yield own[generator.integers(len(own))]
