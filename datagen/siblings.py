"""Concepts that stand beside one another in a knowledge graph: near in meaning, and not the same."""

from collections import defaultdict
from collections.abc import Sequence

from datagen.graph.artefact import BuiltGraph

MOST = 50
"""Siblings kept of a concept; some parents have thousands of children."""


def siblings(graph: BuiltGraph, concepts: Sequence[str]) -> list[list[int]]:
    """For each concept the places of those of `concepts` that share a parent with it and are not above or below it."""
    children: defaultdict[str, list[int]] = defaultdict(list)
    for place, concept in enumerate(concepts):
        for parent in graph.parents(concept) if concept in graph else ():
            children[parent].append(place)
    found = []
    for place, concept in enumerate(concepts):
        parents = graph.parents(concept) if concept in graph else ()
        near = dict.fromkeys(each for parent in parents for each in children[parent] if each != place)
        apart = [each for each in near if not _is_in_line(graph, concept, concepts[each])]
        # Evenly over all of them rather than the first, which are those of one parent.
        found.append(apart[:: -(-len(apart) // MOST) or 1])
    return found


def _is_in_line(graph: BuiltGraph, one: str, other: str) -> bool:
    return one in graph.ancestors(other) or other in graph.ancestors(one)
