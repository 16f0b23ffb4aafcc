"""What a matcher is: the terms of a built graph that stand in a text, longest first, none overlapping another."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from datagen.graph.artefact import BuiltGraph


class Match(NamedTuple):
    """A term of the graph (normalised) and the span `[start, end)` of the matched text where it stands."""

    start: int
    end: int
    term: str


class Matcher(ABC):
    """Finds the terms of a built graph."""

    def __init__(self, graph: BuiltGraph) -> None:
        self.graph = graph

    @abstractmethod
    def find_all(self, texts: Sequence[str]) -> list[list[Match]]:
        """The matches of each text in order of their place; they do not overlap. Faster than one text at a time."""

    def find(self, text: str) -> list[Match]:
        """The matches of one text."""
        return self.find_all([text])[0]


def by_text(matches: list[Match], texts: Sequence[str], joint: str) -> list[list[Match]]:
    """The matches in `joint.join(texts)`, in order, as the matches of each text."""
    result: list[list[Match]] = []
    place = begin = 0
    for text in texts:
        own: list[Match] = []
        while place < len(matches) and matches[place].start < begin + len(text):
            start, end, term = matches[place]
            own.append(Match(start - begin, end - begin, term))
            place += 1
        result.append(own)
        begin += len(text) + len(joint)
    return result
