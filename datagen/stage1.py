"""Stage 1, one chunk: graph terms that stand in it, abbreviations resolved, and what the graph adds to them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from datagen.abbreviations import Abbreviations, AbbreviationSettings
from datagen.assertion import Assertion, AssertionContext
from datagen.expansion import ExpansionSettings, concepts_named, expand
from datagen.graph.artefact import BuiltGraph
from datagen.matching import Match, MatchingSettings, make_matcher
from datagen.prose_names import ProseNames
from datagen.records import TRUE_ASSERTIONS, Entity, concept_named, make_record
from datagen.rewriting import Rewriter, RewritingSettings
from datagen.schwartz_hearst import Definition
from datagen.term_lists import TermListSettings, term_lists


class Stage1Settings(BaseModel):
    """How a chunk becomes a stage-1 record."""

    matching: MatchingSettings = MatchingSettings()
    abbreviations: AbbreviationSettings = AbbreviationSettings()
    assertion: Literal["leave_out", "keep"] = "leave_out"
    """What becomes of mentions that are negated, hypothetical or about the family; the paper keeps them."""
    expansion: ExpansionSettings = ExpansionSettings()
    rewriting: RewritingSettings = RewritingSettings()
    """Further records of the same notes with other mentions; the paper has none."""
    term_lists: TermListSettings = TermListSettings()
    """Further records of lists made of the graph alone; the paper has none."""


def stage1_settings(settings: Stage1Settings) -> Stage1Settings:
    """Those of stage 1 alone, out of the settings of a job that inherits them."""
    return Stage1Settings.model_validate({name: getattr(settings, name) for name in Stage1Settings.model_fields})


class _Mention(NamedTuple):
    term: str
    provenance: str
    """match, or abbreviation: the full name that a short form was resolved to"""
    assertion: Assertion
    is_clear: bool
    """False for a short form whose meaning is left open: it stands there, but nothing is added to it."""


class Stage1:
    """Makes records with one graph and one set of settings."""

    def __init__(
        self, graph: BuiltGraph, settings: Stage1Settings, excluded_terms: frozenset[str] = frozenset()
    ) -> None:
        """`excluded_terms` (normalised) never become entities, are not expanded and are put into no text."""
        self.graph, self._settings, self._excluded = graph, settings, excluded_terms
        self._matcher = make_matcher(settings.matching, graph)
        self._abbreviations = Abbreviations(graph, settings.abbreviations)
        self._names = ProseNames(graph, excluded_terms)
        self._rewriter = Rewriter(graph, self._matcher, self._names, settings.rewriting)

    def records(
        self,
        note_id: str,
        note: str,
        spans: Iterable[tuple[int, int]],
        frequencies: Mapping[str, int] | None = None,
        defined: Iterable[Definition] = (),
    ) -> Iterator[dict[str, Any] | None]:
        """A record, or None where nothing is left, for each chunk of one note: `spans` of its cleaned text.

        What a mention asserts is read off the whole note: a heading governs what follows it into the next chunk.
        A term counts as asserted by its best mention: present before historical before the rest. With
        `assertion: leave_out`, no name of a concept that is only denied is added. `frequencies`: see
        `datagen.expansion.expand`. `defined`: what is known of the note's short forms beside what it says itself.
        """
        definitions, context = [*defined, *self._abbreviations.definitions(note)], AssertionContext(note)
        spans = list(spans)
        texts = [note[start:end] for start, end in spans]
        for i, (text, matches) in enumerate(zip(texts, self._matcher.find_all(texts), strict=True)):
            chunk_id, begin = f"{note_id}_{i}", spans[i][0]

            def assertion_of(start: int, end: int, begin: int = begin) -> Assertion:
                return context.of(begin + start, begin + end)

            mentions = list(self._mentions(chunk_id, text, matches, definitions, assertion_of))
            yield self._record(chunk_id, text, mentions, frequencies)

    def rewritten_records(
        self,
        note_id: str,
        note: str,
        spans: Sequence[tuple[int, int]],
        frequencies: Mapping[str, int] | None = None,
    ) -> Iterator[dict[str, Any] | None]:
        """The same of the note told again as often as the settings say, under ids of their own: `<note_id>~<copy>`."""
        for copy in range(1, self._settings.rewriting.copies + 1):
            name = f"{note_id}~{copy}"
            told = self._rewriter.rewrite(name, note, spans)
            yield from self.records(name, told.text, told.spans, frequencies, told.definitions)

    def list_records(self, frequencies: Mapping[str, int] | None = None) -> Iterator[dict[str, Any] | None]:
        """One for each list of terms that the settings ask for, `~list_<number>`, with what the graph adds to these."""
        for number, items in enumerate(term_lists(self.graph, self._names, self._settings.term_lists)):
            text = ", ".join(item.written for item in items)
            how = {True: "abbreviation", False: "match"}
            mentions = [_Mention(item.term, how[item.is_short_form], "present", True) for item in items]
            yield self._record(f"~list_{number}", text, mentions, frequencies)

    def frequencies(self, texts: Sequence[str]) -> Counter[str]:
        """How many of the texts use each term of the graph."""
        return Counter(term for found in self._matcher.find_all(texts) for term in {match.term for match in found})

    def _mentions(
        self,
        chunk_id: str,
        text: str,
        matches: list[Match],
        definitions: list[Definition],
        assertion_of: Callable[[int, int], Assertion],
    ) -> Iterator[_Mention]:
        resolved = self._abbreviations.resolve(chunk_id, text, {match.term for match in matches}, definitions)
        full_names = {(found.start, found.end): found.term for found in resolved}
        for (start, end), term in full_names.items():
            yield _Mention(term, "abbreviation", assertion_of(start, end), True)
        for match in matches:
            span = (match.start, match.end)
            meant = concepts_named(self.graph, full_names[span]) if span in full_names else ()
            if meant and set(self.graph.concepts_of(match.term)).isdisjoint(meant):
                continue  # the graph knows the short form as something else
            is_open = self._settings.abbreviations.inventory and self.graph.senses(text[match.start : match.end])
            yield _Mention(match.term, "match", assertion_of(*span), bool(meant) or not is_open)

    def _record(
        self,
        chunk_id: str,
        text: str,
        mentions: list[_Mention],
        frequencies: Mapping[str, int] | None,
    ) -> dict[str, Any] | None:
        keep_all = self._settings.assertion == "keep"
        best: dict[str, _Mention] = {}
        denied: set[str] = set()
        for mention in mentions:
            if mention.assertion in TRUE_ASSERTIONS or keep_all:
                known = best.get(mention.term)
                if known is None or (mention.assertion == "present" != known.assertion):
                    best[mention.term] = mention
            else:
                denied.add(mention.term)
        stated = [mention for mention in best.values() if mention.term not in self._excluded]
        unwanted = self._excluded | self._denied_names(denied, best)
        entities = [
            Entity(m.term, concept_named(self.graph, m.term) if m.is_clear else "", m.provenance, m.assertion)
            for m in stated
        ]
        expanded = [m.term for m in stated if m.is_clear]
        for added in expand(expanded, chunk_id, self.graph, self._settings.expansion, unwanted, frequencies):
            if added.term not in best:
                entities.append(Entity(added.term, added.concept, added.provenance, best[added.added_for].assertion))
        true_terms = [term for term, mention in best.items() if mention.is_clear]
        return make_record(chunk_id, text, sorted(entities), self.graph, true_terms)

    def _denied_names(self, denied: Iterable[str], asserted: Iterable[str]) -> frozenset[str]:
        """All names of the concepts that `denied` terms stand for and no `asserted` term does."""
        concepts = {concept for term in denied for concept in concepts_named(self.graph, term)}
        if concepts:
            concepts.difference_update(*(concepts_named(self.graph, term) for term in asserted))
        return frozenset(name for concept in concepts for name in self.graph.terms_of(concept))
