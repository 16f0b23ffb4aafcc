"""Training records: DR.EHR's `{idx, text, entities}` with concepts, provenance and assertion beside the entities.

`concepts`, `provenance` and `assertion` are aligned with `entities`. `true_concepts` holds every concept that the chunk
states, whether or not it became an entity, those of its entities, and all is_a ancestors of both: a term of one of them
is no negative here.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from datagen.annotators.base import Finding
from datagen.expansion import concepts_named
from datagen.graph.artefact import BuiltGraph, normalise

TRUE_ASSERTIONS = frozenset({"present", "historical"})
"""What is negated, hypothetical or about the family is not true of the patient and never becomes an entity."""


class Entity(NamedTuple):
    """A positive of its chunk: the term, its concept ("" where none is meant), how it came in, its assertion."""

    term: str
    concept: str
    provenance: str
    assertion: str


def stage2_record(
    chunk_id: str,
    text: str,
    findings: Iterable[Finding],
    graph: BuiltGraph,
    provenance: str = "rule",
    excluded_terms: frozenset[str] = frozenset(),
) -> dict[str, Any] | None:
    """The record of what an annotator found in a chunk, in the annotator's order; None where nothing is left.

    `provenance` names the kind of annotator (rule or llm); `excluded_terms` (normalised) never become entities.
    """
    true = [finding for finding in findings if finding.assertion in TRUE_ASSERTIONS]
    entities = [
        Entity(f.term, concept_named(graph, f.term), provenance, f.assertion)
        for f in true
        if normalise(f.term) and normalise(f.term) not in excluded_terms
    ]
    return make_record(chunk_id, text, entities, graph, (f.term for f in true))


def make_record(
    chunk_id: str, text: str, entities: Iterable[Entity], graph: BuiltGraph, true_terms: Iterable[str]
) -> dict[str, Any] | None:
    """A training record of the first entity of each term, case and spacing aside; None where there is none.

    `true_terms` are all terms that the chunk states of its patient.
    """
    first: dict[str, Entity] = {}
    for entity in entities:
        first.setdefault(normalise(entity.term), entity)
    if not first:
        return None
    terms, concepts, provenance, assertions = map(list, zip(*first.values(), strict=True))
    stated = {concept for term in true_terms for concept in concepts_named(graph, term)}
    return {
        "idx": chunk_id,
        "text": text,
        "entities": terms,
        "concepts": concepts,
        "provenance": provenance,
        "assertion": assertions,
        "true_concepts": _with_ancestors(graph, stated.union(filter(None, concepts))),
    }


def concept_named(graph: BuiltGraph, term: str) -> str:
    """The first concept that a term stands for; "" where that would be a guess."""
    return next(iter(concepts_named(graph, term)), "")


def _with_ancestors(graph: BuiltGraph, concepts: set[str]) -> list[str]:
    return sorted(concepts.union(*(graph.ancestors(concept) for concept in concepts)))
