"""Other names of what a term names, for searches that look for them too."""

from collections.abc import Iterator

from datagen.expansion import concepts_named
from datagen.graph.artefact import BuiltGraph

MOST = 8
"""Synonyms of a term."""


def known_synonyms(graph: BuiltGraph) -> Iterator[tuple[str, bool, list[str]]]:
    """Terms of the graph that have synonyms: the term, whether it is an abbreviation alone, its synonyms.

    A term that names several concepts unlike each other has none: it would be a guess.
    """
    for term in graph.terms.trie.iterkeys():
        names = [graph.names_of(concept) for concept in concepts_named(graph, term)]
        mine = [each for each in names if term in each]
        if len({each[0] for each in mine}) != 1:
            continue
        others = dict.fromkeys(name for each in mine for name in each if name != term)
        if others:
            yield term, graph.is_abbreviation(term), list(others)[:MOST]
