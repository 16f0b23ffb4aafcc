"""Cleaning and chunking as DR.EHR publishes them, keeping where each chunk lies in the original note.

Steps (DR.EHR preprocessing code, 2026-04): remove `[...]`; turn three or more underscores into a space; collapse a
run of one repeated non-word character to a space; collapse white space; split on single spaces; windows of
`words` words that overlap by `overlap`.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator


class ChunkingSettings(BaseModel):
    """How a note becomes chunks. `drehr`: 100 words, overlap 10."""

    profile: Literal["drehr"] = "drehr"
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


# Each pattern is applied to the result of the one before it, so a span of removed characters can join with
# the next; offsets are carried along character by character.
_STEPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\[.*?\]", re.DOTALL), ""),
    (re.compile(r"_{3,}"), " "),
    (re.compile(r"([^\w\s])\1+"), " "),
    (re.compile(r"\s+"), " "),
)


def clean(text: str) -> tuple[str, list[int]]:
    """The cleaned text and, for each of its characters, the offset it came from in `text`.

    The cleaned text has no leading or trailing space and no two spaces in a row.
    """
    offsets = list(range(len(text)))
    for pattern, replacement in _STEPS:
        parts: list[str] = []
        kept: list[int] = []
        position = 0
        for match in pattern.finditer(text):
            parts.append(text[position : match.start()])
            kept.extend(offsets[position : match.start()])
            if replacement:
                parts.append(replacement)
                kept.append(offsets[match.start()])
            position = match.end()
        parts.append(text[position:])
        kept.extend(offsets[position:])
        text, offsets = "".join(parts), kept
    start = len(text) - len(text.lstrip(" "))
    stop = len(text.rstrip(" "))
    return text[start:stop], offsets[start:stop]


def chunk_note(text: str, settings: ChunkingSettings) -> Iterator[ChunkSpan]:
    """The chunks of one note in order; a note that cleans to nothing yields none.

    The last window ends at the last word; a window that would hold only words of the one before it is not made.
    """
    cleaned, offsets = clean(text)
    if not cleaned:
        return
    starts = [0, *(match.end() for match in re.finditer(" ", cleaned))]
    ends = [start - 1 for start in starts[1:]] + [len(cleaned)]
    step = settings.words - settings.overlap
    first = 0
    while True:
        last = min(first + settings.words, len(starts)) - 1
        begin, end = starts[first], ends[last]
        yield ChunkSpan(cleaned[begin:end], offsets[begin], offsets[end - 1] + 1)
        if last == len(starts) - 1:
            return
        first += step
