"""Longest match as clinicians write: plurals, hyphens and apostrophes do not matter, identifiers and doses never match.

Text and terms meet in their folded form (`datagen.graph.folding`); the words of one match may have a space, a line
break, a hyphen, an apostrophe or a slash between them, and other marks where the term is written with them ("E. coli",
"diabetes mellitus, type 2"). Left out are

- terms without a letter, of one character, or on the list of ambiguous terms (`ambiguous_terms.txt`: words of everyday
  language that some vocabulary also lists as a name),
- terms that are only ever written in capitals (ALL, for acute lymphoblastic leukemia) where the text does not write
  them so, or writes everything so, and those of two letters that no source calls an abbreviation,
- what is part of an address, a file name or an identifier; short terms inside any longer expression ("MS-DRG",
  "mg/dl") or after a number, where they are units ("5 mg", "2 L").
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate, chain

from datagen.graph.artefact import BuiltGraph, normalise
from datagen.graph.folding import POSSESSIVE, WORD, fold_word
from datagen.matching.base import Match, Matcher, by_text

_PARTS = re.compile(rf"({WORD.pattern})")
_SOFT = {"", "-", "'", "’", "/"}
"""What may stand between two words of a term that is not written so; other marks only where the term has them."""
_HARD = re.compile(r"[.,()+:&]{1,2}")
_TIES = frozenset("-/_@#?=&\\.:")
"""Between two words, without a space, they make one expression of both."""
_IDENTIFIER = re.compile(r"@|://|_|www\.|\.(?:com|org|net|edu|pdf|docx?|txt)\b")
_SHORT_WORD, _UNIT, _TOO_SHORT = 4, 3, 2
_SHOUTING = 0.6
"""Share of capitals among the letters above which capitals say nothing."""
_BETWEEN_TEXTS = "\n\n"
_EXPRESSION = 60
"""Characters around a match in which the rest of its expression is looked for."""
_MOST_REMEMBERED = 500_000


class _Forms(dict[str, str]):
    """A word as written -> its folded form, remembered."""

    def __missing__(self, word: str) -> str:
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        form = self[word] = fold_word(word)
        return form


class _Joints(dict[str, str]):
    """What stands between two words -> a space where one term may go over it, else a line break, which ends it."""

    def __missing__(self, gap: str) -> str:
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        goes_on = gap.count("\n") < 2 and all(map(_is_joint, gap.split()))
        joint = self[gap] = " " if goes_on else "\n"
        return joint


class _Names(dict[str, tuple[str, bool] | None]):
    """A folded form -> its term and whether that is only written in capitals; None for one that never matches."""

    def __init__(self, graph: BuiltGraph) -> None:
        self._graph = graph

    def __missing__(self, form: str) -> tuple[str, bool] | None:
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        term, capitals_only = self._graph.folded_term(form)
        if capitals_only:
            never = len(form) <= _TOO_SHORT and not self._graph.is_abbreviation(term)
        else:
            never = form in ambiguous_forms()
        matchable = len(form) > 1 and any(map(str.isalpha, form)) and not never
        name = self[form] = (term, capitals_only) if matchable else None
        return name


class ClinicalMatcher(Matcher):
    """Not for use by several threads at once: it remembers words."""

    def __init__(self, graph: BuiltGraph) -> None:
        super().__init__(graph)
        self._forms, self._joints, self._names = _Forms(), _Joints(), _Names(graph)

    def find_all(self, texts: Sequence[str]) -> list[list[Match]]:
        joined = _BETWEEN_TEXTS.join(texts)
        parts = _PARTS.split(POSSESSIVE.sub("  ", joined))
        words, gaps = parts[1::2], parts[2::2]
        forms = list(map(self._forms.__getitem__, words))
        folded = "".join(chain.from_iterable(zip(forms, map(self._joints.__getitem__, gaps), strict=True)))
        ends = list(accumulate(map(len, parts)))
        ends_folded = [end + place for place, end in enumerate(accumulate(map(len, forms)))]
        text_ends = list(accumulate(len(text) + len(_BETWEEN_TEXTS) for text in texts))
        is_shouting = cache(lambda place: _is_shouting(texts[place]))
        matches: list[Match] = []

        def accepts(start_folded: int, end_folded: int) -> bool:
            name = self._names[folded[start_folded:end_folded]]
            if name is None:
                return False
            first, last = bisect_left(ends_folded, start_folded), bisect_left(ends_folded, end_folded)
            start, end = ends[2 * first], ends[2 * last + 1]
            term, capitals_only = name
            if capitals_only and (
                sum(map(str.isupper, joined[start:end])) < 2 or is_shouting(bisect_right(text_ends, start))
            ):
                return False
            if _is_tied(joined, start, end) and (end - start <= _SHORT_WORD or _is_identifier(joined, start, end)):
                return False
            if end - start <= _UNIT and first > 0 and words[first - 1].isdigit() and gaps[first - 1] in (" ", "-"):
                return False
            if any(_is_hard(words[i], gaps[i]) for i in range(first, last)):
                verbatim = self._verbatim(joined, start, end)
                if verbatim is None:
                    return False
                term = verbatim
            matches.append(Match(start, end, term))
            return True

        for _ in self.graph.folded_terms.scan(folded, accepts):
            pass
        return by_text(matches, texts, _BETWEEN_TEXTS)

    def _verbatim(self, text: str, start: int, end: int) -> str | None:
        """The term that stands at `start:end` as it is written, a closing mark or two of its own included."""
        written = (normalise(text[start : end + further]) for further in range(3))
        return next((term for term in written if term in self.graph.terms.trie), None)


def _is_joint(mark: str) -> bool:
    return mark in _SOFT or _HARD.fullmatch(mark) is not None


def _is_hard(word: str, gap: str) -> bool:
    """Whether a mark stands behind a word that only a term written so may go over; an initial's dot is none."""
    mark = gap.strip()
    return mark not in _SOFT and not (mark == "." and len(word) == 1)


def _is_tied(text: str, start: int, end: int) -> bool:
    """Whether the word at `start:end` is one expression with what stands before or after it."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (len(after) == 2 and after[0] in _TIES and after[1].isalnum()) or (
        len(before) == 2 and before[1] in _TIES and before[0].isalnum()
    )


def _is_identifier(text: str, start: int, end: int) -> bool:
    """Whether a match is part of an address, a file name or a number: `asthma@clinic.org`, `asthma-12345`, `21.5`."""
    before, after = text[max(0, start - _EXPRESSION) : start].split(), text[end : end + _EXPRESSION].split()
    head = before[-1] if before and not text[start - 1].isspace() else ""
    tail = after[0] if after and not text[end].isspace() else ""
    follows_a_number = text[end - 1].isdigit() and re.match(r"\.\d", tail) is not None
    return bool(follows_a_number or re.match(r"-\d{3}", tail) or _IDENTIFIER.search(head) or _IDENTIFIER.search(tail))


def _is_shouting(text: str) -> bool:
    """Whether a text is written in capitals throughout, so that they say nothing."""
    return sum(map(str.isupper, text)) > _SHOUTING * sum(map(str.isalpha, text))


@cache
def ambiguous_forms() -> frozenset[str]:
    """The folded forms that are never matched, from the packaged list."""
    lines = (files(__package__) / "ambiguous_terms.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
