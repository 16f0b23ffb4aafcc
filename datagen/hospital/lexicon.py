"""Every wording of every concept, found in text as whole words, longest first, letters' case ignored."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["name", "synonym", "abbreviation", "hyponym", "implication"]

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Wording(NamedTuple):
    """A concept's surface form; `hyponym` wordings name a kind of the concept."""

    text: str
    concept: str
    kind: Kind


class Found(NamedTuple):
    """A wording at `[start, end)` of the text searched."""

    start: int
    end: int
    wording: Wording


def words(text: str) -> tuple[str, ...]:
    """Lower-case word and punctuation tokens."""
    return tuple(token.lower() for token in _TOKEN.findall(text))


class Lexicon:
    """Finds wordings; two concepts that share one raise ValueError."""

    def __init__(self, wordings: Iterable[Wording]) -> None:
        owners: dict[tuple[str, ...], Wording] = {}
        for wording in wordings:
            other = owners.setdefault(words(wording.text), wording)
            if other is not wording:
                raise ValueError(f"{wording.text!r} is a wording of both {other.concept} and {wording.concept}")
        self._by_first: dict[str, list[tuple[tuple[str, ...], Wording]]] = defaultdict(list)
        for tokens, wording in sorted(owners.items(), key=lambda item: -len(item[0])):
            self._by_first[tokens[0]].append((tokens, wording))

    def scan(self, text: str) -> list[Found]:
        """Wordings in `text` from left to right, not overlapping."""
        matches = list(_TOKEN.finditer(text))
        tokens = [match.group().lower() for match in matches]
        found: list[Found] = []
        position = 0
        while position < len(tokens):
            for candidate, wording in self._by_first.get(tokens[position], ()):
                stop = position + len(candidate)
                if tuple(tokens[position:stop]) == candidate:
                    found.append(Found(matches[position].start(), matches[stop - 1].end(), wording))
                    position = stop
                    break
            else:
                position += 1
        return found

    def concepts_in(self, text: str) -> set[str]:
        """The concepts that `text` names."""
        return {found.wording.concept for found in self.scan(text)}
