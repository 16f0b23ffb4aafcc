"""Cleaning and chunking as published, keeping where each chunk lies in the original note.

`drehr` is DR.EHR's preprocessing (its code of 2026-04): remove `[...]` within a line; three or more underscores become
a space; so does a run of one repeated non-word character; white space collapses. `cliniq` is CliniQ's (its code of
2025): remove `[...]` within a line; newlines become spaces; spaces collapse.

Both cut with LangChain's CharacterTextSplitter at single spaces, lengths counted in words by `str.split`: windows of
`words` words that overlap by `overlap`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator


class ChunkingSettings(BaseModel):
    """How a note becomes chunks. Published are 100 words and overlap 10, for both profiles."""

    profile: Literal["drehr", "cliniq"] = "drehr"
    words: int = Field(default=100, gt=0)
    overlap: int = Field(default=10, ge=0)

    @model_validator(mode="after")
    def _overlap_leaves_progress(self) -> "ChunkingSettings":
        if self.overlap >= self.words:
            raise ValueError("overlap must be smaller than words")
        return self


class ChunkSpan(NamedTuple):
    """One chunk: cleaned text and its span `[char_start, char_end)` in the original note."""

    text: str
    char_start: int
    char_end: int


# Published as `\[.*?\]`, which searches the rest of the line again from every "[" that is never closed.
_BRACKETS = r"\[[^\]\n]*(?:\]|(?P<unclosed>))"
# Each pattern is applied to the result of the one before it, so what stood apart can join.
_BECOME_A_SPACE = {"drehr": (r"_{3,}", r"(\W)\1+", r"\s+"), "cliniq": (r"\n", r" +")}


class Cleaned:
    """The cleaned text of a note, white space at its ends stripped, and where its characters came from."""

    def __init__(self, text: str, profile: str) -> None:
        self._steps: list[tuple[list[int], list[int]]] = []
        text = self._replace(text, _BRACKETS, "")
        for pattern in _BECOME_A_SPACE[profile]:
            text = self._replace(text, pattern, " ")
        self._stripped = len(text) - len(text.lstrip())
        self.text = text.strip()

    def origin(self, position: int) -> int:
        """The offset in the original of the character at `position` of the cleaned text.

        The space that stands for a run is at the run's first character.
        """
        position += self._stripped
        for ends, removed in reversed(self._steps):
            position += removed[bisect_right(ends, position)]
        return position

    def _replace(self, text: str, pattern: str, replacement: str) -> str:
        # For each replaced run where it ends in the new text, and how many characters are missing from there on.
        ends: list[int] = []
        removed = [0]
        parts: list[str] = []
        position = 0
        for match in re.finditer(pattern, text):
            start, end = match.span()
            if match.lastgroup == "unclosed" or text[start:end] == replacement:
                continue
            parts += text[position:start], replacement
            position = end
            ends.append(start - removed[-1] + len(replacement))
            removed.append(removed[-1] + end - start - len(replacement))
        self._steps.append((ends, removed))
        return "".join([*parts, text[position:]])


def chunk_note(text: str, settings: ChunkingSettings) -> Iterator[ChunkSpan]:
    """The chunks of one note in order; a note that cleans to nothing yields none.

    The last window ends at the last word; a window that would hold only words of the one before it is not made.
    """
    cleaned = Cleaned(text, settings.profile)
    for begin, end in windows(cleaned.text, settings):
        yield ChunkSpan(cleaned.text[begin:end], cleaned.origin(begin), cleaned.origin(end - 1) + 1)


def windows(text: str, settings: ChunkingSettings) -> Iterator[tuple[int, int]]:
    """Spans of the windows of a cleaned text. A piece between two spaces may hold no word, or several between tabs."""
    pieces = [match.span() for match in re.finditer("[^ ]+", text)]
    words = [len(text[start:end].split()) for start, end in pieces]
    spans: list[tuple[int, int]] = []
    first = total = 0
    for i, newly in enumerate(words):
        if total + newly > settings.words and i > first:
            spans.append((pieces[first][0], pieces[i - 1][1]))
            while total > settings.overlap or (total + newly > settings.words and total > 0):
                total -= words[first]
                first += 1
        total += newly
    spans += [(pieces[first][0], pieces[-1][1])] if pieces else []
    for start, end in spans:
        window = text[start:end]
        if window.strip():
            yield start + len(window) - len(window.lstrip()), start + len(window.rstrip())
