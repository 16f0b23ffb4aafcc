"""Training records: DR.EHR's `{idx, text, entities}` with concepts, provenance and assertion beside the entities.

`concepts`, `provenance` and `assertion` are aligned with `entities`. `true_concepts` holds every concept stated of the
chunk and all its is_a ancestors, whether or not they became entities: a term of one of them is no negative here.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from datagen.annotators.base import Finding
from datagen.assertion import AssertionContext
from datagen.expansion import ExpansionSettings, concepts_named, expand
from datagen.graph.artefact import BuiltGraph, normalise
from datagen.matching import Matcher

TRUE_ASSERTIONS = frozenset({"present", "historical"})
"""What is negated, hypothetical or about the family is not true of the patient and never becomes an entity."""


class _Entity(NamedTuple):
    term: str
    concept: str
    provenance: str
    assertion: str


def stage1_record(
    chunk_id: str,
    text: str,
    matcher: Matcher,
    expansion: ExpansionSettings,
    excluded_terms: frozenset[str] = frozenset(),
) -> dict[str, Any] | None:
    """The record of the graph terms matched in a chunk and of what the graph adds to them, sorted by term.

    `excluded_terms` (normalised) never become entities and are not expanded. A term counts as asserted by its best
    mention: present before historical before the rest; no name of a concept that is only denied is added.
    Returns None where nothing is left.
    """
    graph = matcher.graph
    assertions: dict[str, str] = {}
    denied: set[str] = set()
    context = AssertionContext(text)
    for match in matcher.find(text):
        assertion = context.of(match.start, match.end)
        if assertion not in TRUE_ASSERTIONS:
            denied.add(match.term)
        elif assertions.get(match.term) != "present":
            assertions[match.term] = assertion
    matched = [term for term in assertions if term not in excluded_terms]
    unwanted = excluded_terms | _denied_names(graph, denied, assertions)
    entities = [
        _Entity(term, next(iter(concepts_named(graph, term)), ""), "match", assertions[term]) for term in matched
    ]
    for added in expand(matched, chunk_id, graph, expansion, unwanted):
        entities.append(_Entity(added.term, added.concept, added.provenance, assertions[added.added_for]))
    return _record(chunk_id, text, sorted(_distinct(entities)), _true_concepts(graph, assertions))


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
        _Entity(f.term, next(iter(concepts_named(graph, f.term)), ""), provenance, f.assertion)
        for f in true
        if normalise(f.term) and normalise(f.term) not in excluded_terms
    ]
    return _record(chunk_id, text, _distinct(entities), _true_concepts(graph, (f.term for f in true)))


def _distinct(entities: list[_Entity]) -> list[_Entity]:
    """The first entity of each term, case and spacing aside."""
    first: dict[str, _Entity] = {}
    for entity in entities:
        first.setdefault(normalise(entity.term), entity)
    return list(first.values())


def _denied_names(graph: BuiltGraph, denied: Iterable[str], asserted: Iterable[str]) -> frozenset[str]:
    """All names of the concepts that `denied` terms stand for and no `asserted` term does."""
    concepts = {concept for term in denied for concept in concepts_named(graph, term)}
    if concepts:
        concepts.difference_update(*(concepts_named(graph, term) for term in asserted))
    return frozenset(name for concept in concepts for name in graph.terms_of(concept))


def _true_concepts(graph: BuiltGraph, terms: Iterable[str]) -> list[str]:
    concepts = {concept for term in terms for concept in concepts_named(graph, term)}
    return sorted(concepts.union(*(graph.ancestors(concept) for concept in concepts)))


def _record(chunk_id: str, text: str, entities: list[_Entity], true_concepts: list[str]) -> dict[str, Any] | None:
    if not entities:
        return None
    return {
        "idx": chunk_id,
        "text": text,
        "entities": [entity.term for entity in entities],
        "concepts": [entity.concept for entity in entities],
        "provenance": [entity.provenance for entity in entities],
        "assertion": [entity.assertion for entity in entities],
        "true_concepts": true_concepts,
    }
