"""What the abbreviations of a chunk stand for, where that is no guess; everything else is left unexpanded.

A definition in the note itself decides. Else pairs mined from the chunk, as DR.EHR lets an LLM do. Else inventories of
abbreviations: a short form with one meaning, or with one that holds nearly all uses, or with one that the chunk
supports. Any doubt, such as two definitions or two supported meanings, leaves the short form as it is.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache, cached_property
from importlib.resources import files
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel

from datagen.graph.artefact import BuiltGraph, Sense
from datagen.graph.folding import fold
from datagen.mined_pairs import MinedPairs
from datagen.schwartz_hearst import Definition, best_long_form, definitions

Source = Literal["definition", "mined", "inventory"]

_SHORT_FORM = re.compile(
    r"(?<![^\W_])(?:[A-Za-z](?:/[A-Za-z])+|[A-Za-z0-9][a-z0-9&+-]*[A-Z](?:[A-Za-z0-9&+-]*[A-Za-z0-9+])?)(?![^\W_])"
)
"""Letters between slashes, or a token with a capital that is not its first character, where any word may have one."""
_NUMBER_BEFORE = re.compile(r"\d[ -]?$")
_LONGEST_UNIT = 3
_RARE = 0.05
"""Share of the counted uses up to which other meanings do not count: neither together against one that holds the rest,
nor alone where a chunk happens to support one."""
_SAME_STEM = 0.6
"""Share of a word's letters that two spellings of it begin with."""


class AbbreviationSettings(BaseModel):
    """Where the full names of abbreviations come from."""

    definitions: bool = True
    """What the note itself defines: "acute kidney injury (AKI)"."""
    inventory: bool = True
    """The graph's inventories of abbreviations."""
    mined: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    """Pairs that an LLM found, as JSON lines {"idx": chunk id, "abbreviations": [[short form, full name], ...]}."""


class ResolvedAbbreviation(NamedTuple):
    """A short form, as written at `[start, end)` of the chunk, and the term of the graph that it stands for."""

    start: int
    end: int
    short_form: str
    term: str
    """The full name, normalised."""
    source: Source


class Meaning(NamedTuple):
    """Senses of a short form that are one: spellings of a long form, or names of the same concepts."""

    term: str | None
    """The term of the graph, normalised, where one of the long forms is one."""
    concepts: frozenset[str]
    wordings: tuple[tuple[str, ...], ...]
    """The words of each long form, folded."""
    uses: int
    """How often the inventories counted it."""


def mined_pairs(pairs: Iterable[tuple[str, str]], text: str, graph: BuiltGraph) -> list[Definition]:
    """The mined pairs of a chunk that pass DR.EHR's four filters (arXiv 2507.18583 and its code of 2026-04).

    The short form has more than one character, is a whole word of the chunk and differs from the full name, and the
    full name without its parentheses is a term of the graph. Case does not matter.
    """
    kept = []
    for short_form, full_name in pairs:
        full_name = re.sub(r"\s*\(.*?\)", "", full_name).strip()
        differs = short_form.lower() != full_name.lower()
        if len(short_form) > 1 and differs and _places(text, short_form, "mined") and _term(graph, full_name):
            kept.append(Definition(short_form, full_name))
    return kept


class Abbreviations:
    """Not for use by several threads at once: it remembers the meanings of short forms."""

    def __init__(self, graph: BuiltGraph, settings: AbbreviationSettings) -> None:
        self._graph = graph
        self._settings = settings
        self._mined = MinedPairs(settings.mined) if settings.mined else None
        self._inventory: dict[str, list[Meaning]] = {}

    def definitions(self, note_text: str) -> list[Definition]:
        """What a note defines, for `resolve`; nothing where the settings say so."""
        return definitions(note_text) if self._settings.definitions else []

    def resolve(
        self, chunk_id: str, text: str, matched: Collection[str], defined: Iterable[Definition]
    ) -> list[ResolvedAbbreviation]:
        """The resolved abbreviations of a chunk in order of their place.

        `matched` are the terms matched in the chunk (normalised), `defined` the definitions of its note.
        """
        resolved: list[ResolvedAbbreviation] = []
        decided: set[tuple[int, int]] = set()
        mined = mined_pairs(self._mined.of(chunk_id) if self._mined else (), text, self._graph)
        explicit: tuple[tuple[Source, Iterable[Definition]], ...] = (("definition", defined), ("mined", mined))
        for source, pairs in explicit:
            senses: dict[str, list[Sense]] = {}
            for short_form, long_form in pairs:
                senses.setdefault(short_form, []).append(Sense(long_form, 0))
            for short_form, stated in senses.items():
                places = set(_places(text, short_form, source)) - decided
                decided |= places
                meanings = _meanings(short_form, stated, self._graph)
                if len(meanings) == 1 and (term := meanings[0].term):
                    resolved += [ResolvedAbbreviation(*place, text[slice(*place)], term, source) for place in places]
        if self._settings.inventory:
            resolved += self._from_inventory(text, matched, decided)
        return sorted(resolved)

    def _from_inventory(
        self, text: str, matched: Collection[str], decided: Collection[tuple[int, int]]
    ) -> Iterator[ResolvedAbbreviation]:
        context = _Context(text, matched, self._graph)
        for start, end in _short_forms(text):
            if (start, end) not in decided:
                short_form = text[start:end]
                meanings = self._inventory.get(short_form)
                if not meanings and (senses := _senses(short_form, self._graph)):
                    meanings = self._inventory[short_form] = _meanings(short_form, senses, self._graph)
                if meanings and (term := _decide(short_form, meanings, context)):
                    yield ResolvedAbbreviation(start, end, short_form, term, "inventory")


class _Context:
    """What a chunk says that tells the meanings of a short form apart."""

    def __init__(self, text: str, matched: Collection[str], graph: BuiltGraph) -> None:
        self._text, self._matched, self._graph = text, matched, graph

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(fold(self._text).split())

    @cached_property
    def _concepts(self) -> dict[str, tuple[set[str], set[str]]]:
        """The concepts of each matched term, and these with what they reach."""
        named = {term: set(self._graph.concepts_of(term)) for term in self._matched}
        return {term: (concepts, concepts.union(*map(self._reach, concepts))) for term, concepts in named.items()}

    def supports(self, meaning: Meaning, short_form: str) -> bool:
        """Whether the words of a long form all stand in the chunk, or a matched term is near to the meaning.

        Near are another name, a parent, a child or a relation. The short form itself may be a term of the graph; that
        it was matched says nothing.
        """
        if any(self._words.issuperset(words) for words in meaning.wordings):
            return True
        reach = meaning.concepts.union(*map(self._reach, meaning.concepts))
        return bool(reach) and any(
            not (reach.isdisjoint(concepts) and meaning.concepts.isdisjoint(reached))
            for term, (concepts, reached) in self._concepts.items()
            if term != short_form.lower()
        )

    def _reach(self, concept: str) -> tuple[str, ...]:
        return self._graph.parents(concept) + self._graph.related(concept)


def _decide(short_form: str, meanings: list[Meaning], context: _Context) -> str | None:
    """The term of the meaning that a short form has in a context; None where that is open or no term of the graph."""
    if not any(meaning.term for meaning in meanings):
        return None
    if len(meanings) == 1:
        return meanings[0].term
    supported = [meaning for meaning in meanings if context.supports(meaning, short_form)]
    uses = sum(meaning.uses for meaning in meanings)
    most = max(meanings, key=lambda meaning: meaning.uses)
    if uses and most.uses >= (1 - _RARE) * uses:
        return most.term if supported in ([], [most]) else None
    if len(supported) == 1 and supported[0].uses >= _RARE * uses:
        return supported[0].term
    return None


def _senses(short_form: str, graph: BuiltGraph) -> list[Sense]:
    """What the inventories say, most counted first; some write all short forms in lower case."""
    senses = {*graph.senses(short_form), *graph.senses(short_form.lower())}
    if not senses and short_form.endswith("s"):
        return _senses(short_form[:-1], graph)
    return sorted(senses, key=lambda sense: (-sense.uses, sense.long_form))


def _meanings(short_form: str, senses: Iterable[Sense], graph: BuiltGraph) -> list[Meaning]:
    meanings: list[Meaning] = []
    for long_form, uses in senses:
        long_form = best_long_form(short_form, long_form) or long_form
        words = tuple(fold(long_form).split())
        if not words:
            continue
        term = _term(graph, long_form)
        one = Meaning(term, frozenset(graph.concepts_of(term) if term else ()), (words,), uses)
        same = [meaning for meaning in meanings if _are_one(meaning, one)]
        merged = Meaning(
            next((meaning.term for meaning in (*same, one) if meaning.term), None),
            one.concepts.union(*(meaning.concepts for meaning in same)),
            one.wordings + tuple(wording for meaning in same for wording in meaning.wordings),
            uses + sum(meaning.uses for meaning in same),
        )
        meanings = [*(meaning for meaning in meanings if meaning not in same), merged]
    return meanings


def _are_one(one: Meaning, other: Meaning) -> bool:
    return not one.concepts.isdisjoint(other.concepts) or any(
        all(_same_stem(*words) for words in zip_longest(a, b, fillvalue=""))
        for a in one.wordings
        for b in other.wordings
    )


def _same_stem(word: str, other: str) -> bool:
    word, other = (w.replace("ae", "e").replace("oe", "e") for w in (word, other))
    stem = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(word, other, strict=False)))
    return stem >= _SAME_STEM * max(len(word), len(other))


def _term(graph: BuiltGraph, long_form: str) -> str | None:
    """The term of the graph that a long form is, whatever its case, plural and hyphens."""
    try:
        return graph.folded_term(fold(long_form))[0]
    except KeyError:
        return None


def _places(text: str, short_form: str, source: Source) -> list[tuple[int, int]]:
    """Where a short form stands as a word: a mined one in any case (by an LLM), a defined one in the plural too."""
    plural, flags = ("", re.IGNORECASE) if source == "mined" else ("s?", 0)
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(short_form)}{plural}(?!\w)", text, flags)]


def _short_forms(text: str) -> Iterator[tuple[int, int]]:
    """Spans that are written like short forms, and are neither common words nor units behind a number."""
    for match in _SHORT_FORM.finditer(text):
        start, end = match.span()
        is_unit = end - start <= _LONGEST_UNIT and _NUMBER_BEFORE.search(text, max(0, start - 2), start)
        if not is_unit and match[0].upper() not in _never():
            yield start, end


@cache
def _never() -> frozenset[str]:
    lists = yaml.load((files(__package__) / "abbreviations.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return frozenset(word for words in lists.values() for word in words.split())
