"""What becomes of the entities that a language model names for a chunk: each must be stated there or have support.

In this order: what looks like a person's name, a date or a record number is dropped; a name with one meaning in the
graph takes the preferred term; names of one thing are merged; a stated entity takes the assertion of its best mention;
an implied one needs a rule, a neighbour in the graph or a second vote, else it is dropped.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple, get_args

from datagen.annotators.base import Finding, Kind
from datagen.annotators.rules import RuleAnnotator
from datagen.assertion import Assertion, AssertionContext
from datagen.expansion import concepts_named
from datagen.graph.artefact import BuiltGraph, normalise
from datagen.graph.folding import POSSESSIVE, WORD, fold, fold_word
from datagen.graph.joins import group_of_type
from datagen.identifying import looks_identifying
from datagen.matching.base import Match
from datagen.matching.clinical import ClinicalMatcher
from datagen.records import TRUE_ASSERTIONS

Answers = Mapping[Kind, Sequence[Sequence[str]]]
"""Of each kind one list of names a vote."""

_BEST_FIRST: tuple[Assertion, ...] = ("present", "historical", "hypothetical", "family", "negated")
_ORDER_COUNTS = re.compile(
    r"\b(?:with|without|in|to|than|from|and|or)\b|\d\D+\d|\bleft\b.*\bright\b|\bright\b.*\bleft\b|\w[+-](?!\w)"
)
"""In such names other words come out when they are put in another order, or when marks are left out."""


class _Name(NamedTuple):
    term: str
    """The preferred term, normalised, where the name has one meaning in the graph; else as it was named."""
    words: str
    """Alike for terms in the same words."""
    known_as: str | None
    """The term of the graph that the name is, normalised."""
    concepts: frozenset[str]
    """Empty where the meaning would be a guess."""


class _Entity(NamedTuple):
    names: list[_Name]
    votes: int

    @property
    def concepts(self) -> set[str]:
        return {concept for name in self.names for concept in name.concepts}

    @property
    def keys(self) -> set[str]:
        return self.concepts.union(*({name.words, name.known_as or name.words} for name in self.names))

    @property
    def term(self) -> str:
        return min(self.names, key=lambda name: (not name.concepts, len(name.term), name.term)).term


class EntityChecks:
    """Checks against one graph. Not for use by several threads at once: its matcher remembers words."""

    def __init__(self, graph: BuiltGraph, rules: RuleAnnotator | None = None) -> None:
        self._graph, self._rules = graph, rules or RuleAnnotator()
        self._matcher = ClinicalMatcher(graph)

    def findings(
        self,
        note: str,
        spans: Sequence[tuple[int, int]],
        answers: Sequence[Answers | None],
        counts: Counter[str],
    ) -> list[list[Finding]]:
        """The findings of each chunk of one note: `spans` of its cleaned text, with what was named there.

        An answer is None where the chunk's calls failed. What a mention asserts is read off the whole note. `counts`
        goes up by the entities `named` (distinct names of a chunk and kind), and by what became of each of them:
        `dropped_identifying`, `merged` into another, `stated` of the patient, `denied` (stated, but not of the
        patient: such findings say so in their assertion), `implied` or `dropped_unsupported`. `supported_by_rule`,
        `supported_by_graph` and `supported_by_vote` divide the implied ones by the first of these that holds.
        """
        context = AssertionContext(note)
        texts = [note[start:end] for start, end in spans]
        matches = self._matcher.find_all(texts)
        ruled = self._rules.annotate(texts)
        found: list[list[Finding]] = []
        for i, answer in enumerate(answers):
            begin = spans[i][0]

            def assertion_of(start: int, end: int, begin: int = begin) -> Assertion:
                return context.of(begin + start, begin + end)

            chunk = _Chunk(self._graph, texts[i], matches[i], assertion_of)
            by_rule = self._by_rule(ruled[i])
            found.append(
                [
                    finding
                    for kind in get_args(Kind)
                    for entity in self._entities((answer or {}).get(kind, ()), counts)
                    if (finding := self._checked(entity, kind, chunk, by_rule, counts))
                ]
            )
        return found

    def _entities(self, votes: Sequence[Sequence[str]], counts: Counter[str]) -> list[_Entity]:
        named: dict[str, set[int]] = defaultdict(set)
        for vote, names in enumerate(votes):
            for written in names:
                if fold(written):
                    named[written].add(vote)
        merged: dict[str, list[tuple[_Name, set[int]]]] = defaultdict(list)
        for written, by in named.items():
            name = self._linked(written)
            if looks_identifying(written) or looks_identifying(name.term):
                counts["dropped_identifying"] += 1
            else:
                merged[name.words].append((name, by))
        counts["named"] += len(named)
        counts["merged"] += sum(len(names) - 1 for names in merged.values())
        return [_Entity([name for name, _ in of], len(set().union(*(by for _, by in of)))) for of in merged.values()]

    def _linked(self, written: str) -> _Name:
        for term in self._terms(written):
            if self._graph.concepts_of(term):
                concepts = concepts_named(self._graph, term)
                preferred = {self._graph.terms_of(concept)[0] for concept in concepts}
                meant = term if term in preferred else preferred.pop() if len(preferred) == 1 else written
                return _Name(meant, _same_words(meant), term, frozenset(concepts))
        return _Name(written, _same_words(written), None, frozenset())

    def _terms(self, written: str) -> Iterable[str]:
        """What the name may be as a term of the graph: as it stands, then as it folds."""
        yield normalise(written)
        for form in (fold(written), fold(written.lower())):
            if form in self._graph.folded_terms.trie:
                yield self._graph.folded_term(form)[0]

    def _by_rule(self, findings: Iterable[Finding]) -> dict[str, Assertion]:
        best: dict[str, Assertion] = {}
        for finding in findings:
            if finding.assertion in TRUE_ASSERTIONS:
                _keep_best(best, _Entity([self._linked(finding.term)], 1).keys, finding.assertion)
        return best

    def _checked(
        self, entity: _Entity, kind: Kind, chunk: "_Chunk", by_rule: dict[str, Assertion], counts: Counter[str]
    ) -> Finding | None:
        if assertion := chunk.states(entity):
            counts["stated" if assertion in TRUE_ASSERTIONS else "denied"] += 1
            return Finding(entity.term, kind, assertion, implied=False)
        if assertion := _best(_of(by_rule, entity.keys)):
            support = "rule"
        elif assertion := chunk.is_near(entity.concepts):
            support = "graph"
        elif entity.votes > 1:
            support, assertion = "vote", "present"
        else:
            counts["dropped_unsupported"] += 1
            return None
        counts.update(("implied", f"supported_by_{support}"))
        return Finding(entity.term, kind, assertion, implied=True)


class _Chunk:
    """What one chunk states, each with its best assertion."""

    def __init__(
        self, graph: BuiltGraph, text: str, matches: Iterable[Match], assertion_of: Callable[[int, int], Assertion]
    ) -> None:
        self._graph, self._assertion_of = graph, assertion_of
        self._stated: dict[str, Assertion] = {}
        """Terms of the graph, and the concepts that they may name."""
        self._true: dict[str, Assertion] = {}
        """Concepts that are stated without a guess and hold for the patient."""
        for start, end, term in matches:
            assertion = assertion_of(start, end)
            _keep_best(self._stated, (term, *graph.concepts_of(term)), assertion)
            if assertion in TRUE_ASSERTIONS:
                _keep_best(self._true, concepts_named(graph, term), assertion)
        self._words = list(WORD.finditer(POSSESSIVE.sub("  ", text)))
        self._folded = " ".join(("", *(fold_word(word[0]) for word in self._words), ""))

    def states(self, entity: _Entity) -> Assertion | None:
        """How the chunk states an entity by one of its names; None where it does not."""
        unknown = [name for name in entity.names if name.known_as is None]
        mentions = [assertion for name in unknown for assertion in self._verbatim(fold(name.term))]
        return _best([*mentions, *_of(self._stated, entity.keys)])

    def is_near(self, concepts: Iterable[str]) -> Assertion | None:
        """How the chunk states something narrower than one of the concepts, or a related thing of another kind.

        None where it does not. A drug speaks for what it treats; of two related diseases neither speaks for the other.
        """
        related = (other for concept in concepts for other in self._related(concept))
        return _best([*_of(self._near, concepts), *_of(self._true, related)])

    @cached_property
    def _near(self) -> dict[str, Assertion]:
        near: dict[str, Assertion] = {}
        for concept, assertion in self._true.items():
            _keep_best(near, (*self._graph.ancestors(concept), *self._related(concept)), assertion)
        return near

    def _related(self, concept: str) -> Iterator[str]:
        groups = self._groups(concept)
        return (other for other in self._graph.related(concept) if groups.isdisjoint(self._groups(other)))

    def _groups(self, concept: str) -> set[str]:
        known = group_of_type()
        return {known.get(each, each) for each in self._graph.semantic_types(concept)}

    def _verbatim(self, form: str) -> Iterator[Assertion]:
        """The assertion of each place where the words of a folded form stand."""
        place = self._folded.find(f" {form} ")
        while place >= 0:
            first = self._folded.count(" ", 0, place)
            yield self._assertion_of(self._words[first].start(), self._words[first + form.count(" ")].end())
            place = self._folded.find(f" {form} ", place + 1)


def _same_words(term: str) -> str:
    """Alike for terms in the same words, whatever their order, case, plural and hyphens."""
    if _ORDER_COUNTS.search(term.lower()):
        return normalise(term)
    return " ".join(sorted(fold(term.lower()).split()))


def _of(known: Mapping[str, Assertion], keys: Iterable[str]) -> list[Assertion]:
    return [known[key] for key in keys if key in known]


def _best(assertions: Iterable[Assertion]) -> Assertion | None:
    return min(assertions, key=_BEST_FIRST.index, default=None)


def _keep_best(known: dict[str, Assertion], keys: Iterable[str], assertion: Assertion) -> None:
    for key in keys:
        known[key] = min(known.get(key, assertion), assertion, key=_BEST_FIRST.index)
