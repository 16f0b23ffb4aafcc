"""Ids with labels, as tables about concepts of an ontology carry them: enough to define a concept."""

from collections.abc import Iterable

from datagen.graph.tables import Rows


def labelled_concepts(labels: Iterable[tuple[str, str]]) -> tuple[Rows, Rows]:
    """Rows of concepts and terms: the first label of an id is preferred, others are terms, the type is its prefix."""
    names: dict[str, dict[str, None]] = {}
    for concept, label in labels:
        if label:
            names.setdefault(concept, {})[label] = None
    concepts = [(concept, next(iter(of_it)), [concept.partition(":")[0]]) for concept, of_it in names.items()]
    terms = [(concept, name, "en", "exact") for concept, of_it in names.items() for name in list(of_it)[1:]]
    return concepts, terms
