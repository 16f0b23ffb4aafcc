"""Names of a graph that may be put into a text: no titles of a classification, no short forms of doubtful meaning."""

from collections import defaultdict
from functools import cached_property
from typing import NamedTuple

import numpy as np

from datagen.graph.artefact import BuiltGraph, normalise
from datagen.schwartz_hearst import is_short_form

LONGEST = 4
"""Words of a name; longer ones are titles."""
SHORTEST = 4
"""Characters of one; shorter ones are short forms."""
_NO_PROSE = frozenset("[](),;:")
_MOSTLY = 0.3
"""Share of a short form's uses that a meaning of it needs to have."""


class ShortForm(NamedTuple):
    """A short form, as written, with a meaning that it often has."""

    written: str
    long_form: str
    uses: int


class ProseNames:
    """Look-ups in one graph; `excluded` terms (normalised) are left out."""

    def __init__(self, graph: BuiltGraph, excluded: frozenset[str] = frozenset()) -> None:
        self._graph, self._excluded = graph, excluded

    def of(self, concept: str) -> list[str]:
        """The concept's names."""
        return [name for name in self._graph.terms_of(concept) if self._may_stand(name)]

    def _may_stand(self, name: str) -> bool:
        is_short = len(name) < SHORTEST or self._graph.is_abbreviation(name)
        is_title = len(name.split()) > LONGEST or not _NO_PROSE.isdisjoint(name)
        return not is_short and not is_title and name not in self._excluded

    def _knows(self, long_form: str) -> bool:
        return long_form not in self._excluded and bool(self._graph.concepts_of(long_form))

    @cached_property
    def by_type(self) -> dict[str, np.ndarray]:
        """See `BuiltGraph.concepts_by_type`."""
        return self._graph.concepts_by_type()

    @cached_property
    def short_forms(self) -> list[ShortForm]:
        """Those of the inventories that often mean one thing which the graph knows."""
        found = []
        for written in filter(is_short_form, self._graph.short_forms()):
            if normalise(written) in self._excluded:
                continue
            senses = self._graph.senses(written)
            fewest = _MOSTLY * sum(sense.uses for sense in senses)
            often = [sense for sense in senses if sense.uses >= fewest and self._knows(sense.long_form)]
            found += [ShortForm(written, *sense) for sense in often]
        return found

    @cached_property
    def short_forms_of(self) -> dict[str, list[ShortForm]]:
        """The same by long form."""
        found = defaultdict(list)
        for short_form in self.short_forms:
            found[short_form.long_form].append(short_form)
        return found
