"""What a mention asserts: present, negated, of a relative, in the past, or only supposed.

Rules after NegEx (Chapman et al., J Biomed Inform 2001, 34:301-310) and ConText (Harkema, Dowling, Thornblade and
Chapman, J Biomed Inform 2009, 42:839-851): trigger phrases before or after a mention, whose scope ends with the
sentence, at a terminating phrase, or at another trigger behind a comma or "and"; pseudo-triggers ("not only")
cancel the trigger they contain; a section heading governs the text up to the next heading.
"""

import re
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from string import ascii_lowercase, ascii_uppercase
from typing import Literal, NamedTuple

import yaml

Assertion = Literal["present", "negated", "family", "historical", "hypothetical"]

_PRECEDENCE: tuple[Assertion, ...] = ("negated", "family", "hypothetical", "historical")
_AFTER_MENTION_WORDS = 5
"""A trigger behind a mention reaches back over this many words at most, and over no comma."""
_SENTENCE_END = re.compile(r"(?<!\b[DMS][rst])(?<!\bMrs)(?<!\bvs)[.!?;](?=\s|$)|\n\s*\n")
_HEADING = re.compile(
    r"(?:\b[A-Z][A-Z/&]*(?:[ -][A-Z/&]+){0,5}|\b[A-Z][a-z]+(?: (?:[A-Z][a-z]+|and|of|[a-z]{3,12})){0,2})\s?:"
)
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
_BREAK = re.compile(r",|\band\b", re.IGNORECASE)


class _Trigger(NamedTuple):
    start: int
    end: int
    side: str
    """forward, backward or terminators"""
    label: str
    """an assertion, or which terminator"""


class _Rules(NamedTuple):
    triggers: re.Pattern[str]
    meanings: list[tuple[str, str]]
    """(side, label) of the group number, less one, that matched"""
    headings: dict[str, Assertion]


@cache
def _rules() -> _Rules:
    data = yaml.load((files(__package__) / "assertion.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    groups = {("pseudo", ""): data["pseudo"]} | {
        (side, label): phrases
        for side in ("forward", "backward", "terminators")
        for label, phrases in data[side].items()
    }
    return _Rules(
        triggers=re.compile("|".join(map(_group, groups.values()))),
        meanings=list(groups),
        headings={heading: label for label, group in data["headings"].items() for heading in group},
    )


def _group(phrases: list[str]) -> str:
    """One capturing group; what begins with a word is tried at the beginning of words only."""
    phrases = sorted(phrases, key=len, reverse=True)
    words = "|".join(_fragment(phrase) for phrase in phrases if phrase[0] not in ",:")
    marks = "".join("|" + _fragment(phrase) for phrase in phrases if phrase[0] in ",:")
    return rf"((?:(?<!\w)(?:{words}){marks})(?!\w))"


def _fragment(phrase: str) -> str:
    uncaptured = re.sub(r"\((?!\?)", "(?:", phrase)
    return uncaptured.replace(" ?", r"\s*").replace(" ", r"\s+")


class AssertionContext:
    """The triggers, sentences and headings of one passage, found once for all its mentions."""

    def __init__(self, text: str) -> None:
        rules = _rules()
        self._text = text
        self._triggers = [
            _Trigger(match.start(), match.end(), *rules.meanings[match.lastindex - 1])
            for match in rules.triggers.finditer(lower_ascii(text))
            if match.lastindex
        ]
        headings = [(m.start(), _heading_meaning(m[0], rules.headings)) for m in _HEADING.finditer(text)]
        self._heading_starts = [start for start, _ in headings]
        self._heading_meanings = [meaning for _, meaning in headings]
        ends = [match.end() for match in _SENTENCE_END.finditer(text)]
        self._boundaries = sorted([*ends, *self._heading_starts])

    def of(self, start: int, end: int) -> Assertion:
        """The assertion of the mention `text[start:end]`; negated wins over family, hypothetical, historical."""
        place = bisect_right(self._boundaries, start)
        first = self._boundaries[place - 1] if place else 0
        last = self._boundaries[place] if place < len(self._boundaries) else len(self._text)
        sentence = [t for t in self._triggers if first <= t.start and t.end <= last]
        before = [t for t in sentence if t.end <= start]
        after = [t for t in sentence if t.start >= end]
        found = {t.label for i, t in enumerate(before) if t.side == "forward" and self._reaches(t, before[i + 1 :])}
        for trigger in after:
            if trigger.side == "terminators":
                break
            if trigger.side == "backward" and self._is_close(end, trigger.start):
                found.add(trigger.label)
        heading = bisect_right(self._heading_starts, start)
        if heading and (meaning := self._heading_meanings[heading - 1]):
            found.add(meaning)
        return next((assertion for assertion in _PRECEDENCE if assertion in found), "present")

    def _reaches(self, trigger: _Trigger, later: list[_Trigger]) -> bool:
        """Whether nothing between the trigger and the mention ends the trigger's scope."""
        for other in later:
            if other.side == "terminators" and (other.label == "all" or trigger.label != "family"):
                return False
            changed = other.side in ("forward", "backward") and other.label != trigger.label
            if changed and _BREAK.search(self._text, trigger.end, other.start):
                return False
        return True

    def _is_close(self, end: int, start: int) -> bool:
        between = self._text[end:start]
        return "," not in between and len(between.split()) <= _AFTER_MENTION_WORDS


def _heading_meaning(heading: str, known: dict[str, Assertion]) -> Assertion | None:
    name = heading.rstrip(" :").lower()
    return next((meaning for words, meaning in known.items() if name == words or name.endswith(" " + words)), None)


def lower_ascii(text: str) -> str:
    """Lower case that keeps every offset, which `str.lower` does not beyond ASCII."""
    return text.translate(_LOWER)


def assertion_of(text: str, start: int, end: int) -> Assertion:
    """The assertion of the mention `text[start:end]`; for several mentions of one text use `AssertionContext`."""
    return AssertionContext(text).of(start, end)
