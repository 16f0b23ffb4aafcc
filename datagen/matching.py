"""Where graph terms occur in a text: longest match on word boundaries, with DR.EHR's boundary rules.

A match starts at the first character of the text, after white space or after `(`, on an alphanumeric. It ends at
the end of the text, before white space or before one of `_END`. The longest term that ends so wins - a longer term
that runs on into a word ("acute pain" in "acute painful") does not hide a shorter one ("acute") - and scanning
goes on behind it. Case does not matter. Terms of one character and terms without a letter (numbers) never match:
nearly all their matches would be noise.
"""

import re
from typing import NamedTuple

from datagen.graph.artefact import BuiltGraph

_END = frozenset("_~(^+\"#%:?`>$@*[]!&,{;.|}'<\\=)/")
_END_CLASS = rf"\s{re.escape(''.join(sorted(_END)))}"
_FIRST_WORD = re.compile(rf"(?:\A|(?<=[\s(]))[^\W_][^{_END_CLASS}]*[{_END_CLASS}]")
"""From a place where a match may start to the first place where it may end, with the character that ends it."""

_NOTHING, _WORD, _LONGER = range(3)
_MEMO_SIZE = 200_000


class Match(NamedTuple):
    """A term (normalised) and its span `[start, end)` in the matched text."""

    start: int
    end: int
    term: str


class Matcher:
    """Finds the terms of a built graph. Not for use by several threads at once: it remembers first words."""

    def __init__(self, graph: BuiltGraph) -> None:
        self.graph = graph
        self._first_words: dict[str, int] = {}

    def find(self, text: str) -> list[Match]:
        """The matches in order of their place; they do not overlap."""
        lowered = text.lower() + " "  # the space stands for the end of the text
        prefixes = self.graph.trie.prefixes
        longest = self.graph.longest_term
        first_words = self._first_words
        matches: list[Match] = []
        resume = 0
        for found in _FIRST_WORD.finditer(lowered):
            word = found[0]
            known = first_words.get(word)
            if known is None:
                known = self._learn(word)
            if known == _NOTHING:
                continue
            start = found.start()
            if start < resume:
                continue
            if known == _WORD:
                resume = found.end() - 1
                matches.append(Match(start, resume, word[:-1]))
                continue
            for term in reversed(prefixes(lowered[start : start + longest])):
                end = start + len(term)
                if (lowered[end] in _END or lowered[end].isspace()) and _is_matchable(term):
                    matches.append(Match(start, end, term))
                    resume = end
                    break
        return matches if len(lowered) == len(text) + 1 else _in_original_offsets(matches, text)

    def _learn(self, word: str) -> int:
        """What the graph holds for a first word with the character that ends it."""
        if len(self._first_words) >= _MEMO_SIZE:
            self._first_words.clear()
        trie = self.graph.trie
        if next(trie.iterkeys(word), None) is not None:
            known = _LONGER
        else:
            known = _WORD if word[:-1] in trie and _is_matchable(word[:-1]) else _NOTHING
        self._first_words[word] = known
        return known


def _is_matchable(term: str) -> bool:
    return len(term) > 1 and any(character.isalpha() for character in term)


def _in_original_offsets(matches: list[Match], text: str) -> list[Match]:
    """Lower-casing lengthens a few characters ("İ"); lead each offset back to the character it came from."""
    origin = [i for i, character in enumerate(text) for _ in character.lower()]
    origin.append(len(text))
    return [Match(origin[start], origin[end], term) for start, end, term in matches]
