"""Every wording of every concept, found in text as whole words, longest first, letters' case ignored."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["name", "synonym", "abbreviation", "hyponym", "implication"]

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Wording(NamedTuple):
    """A concept's surface form; `hyponym` wordings name a kind of the concept."""

    text: str
    concept: str
    kind: Kind


class Mention(NamedTuple):
    """`text[start:end]` of a note speaks of a concept; asserted unless negated, of a relative, or hypothetical."""

    start: int
    end: int
    concept: str
    kind: Kind
    pattern: str = ""
    """The implication pattern's id; empty for a mention by name."""
    asserted: bool = True


class Lexicon:
    """Finds wordings; two concepts that share one raise ValueError."""

    def __init__(self, wordings: Iterable[Wording]) -> None:
        self.by_words: dict[tuple[str, ...], Wording] = {}
        """Each wording by its lower-case word and punctuation tokens."""
        self._longest: dict[str, int] = {}
        for wording in wordings:
            words = tuple(_TOKEN.findall(wording.text.lower()))
            other = self.by_words.setdefault(words, wording)
            if other is not wording:
                raise ValueError(f"{wording.text!r} is a wording of both {other.concept} and {wording.concept}")
            self._longest[words[0]] = max(len(words), self._longest.get(words[0], 0))

    def scan(self, text: str) -> Iterator[Mention]:
        """Wordings in `text` from left to right, not overlapping."""
        tokens = list(_TOKEN.finditer(text))
        words = tuple(token.group().lower() for token in tokens)
        start = 0
        while start < len(words):
            stop = start + 1
            for stop in range(min(start + self._longest.get(words[start], 0), len(words)), start, -1):
                if wording := self.by_words.get(words[start:stop]):
                    yield Mention(tokens[start].start(), tokens[stop - 1].end(), wording.concept, wording.kind)
                    break
            start = stop

    def concepts_in(self, text: str) -> set[str]:
        """The concepts that `text` names."""
        return {found.concept for found in self.scan(text)}
