"""Abbreviations that a text defines itself: "long form (SF)" and "SF (long form)".

Schwartz & Hearst, A simple algorithm for identifying abbreviation definitions in biomedical text, Pac Symp Biocomput
2003, 8:451-462, with one more condition: a short form holds a capital, which keeps "(left)" and "(with pain)" out.
"""

import re
from typing import NamedTuple

from datagen.assertion import lower_ascii

_PARENTHESISED = re.compile(r"\(([^()\[\]]{2,200})\)")
_CLAUSE_END = re.compile(r"[.!?;:,](?=\s)|\n\s*\n|[()\[\]]")
_ASIDE = re.compile(r"[;:,]\s|=")
"""What follows it in the parentheses is no part of the short or long form."""
_SHORTEST, _LONGEST = 2, 10


class Definition(NamedTuple):
    """A short form and what the text says it stands for, both as written but with single spaces."""

    short_form: str
    long_form: str


def definitions(text: str) -> list[Definition]:
    """The definitions in a text of any length, in their order; a short form defined twice comes twice."""
    found = []
    for match in _PARENTHESISED.finditer(text):
        before = _CLAUSE_END.split(text[max(0, match.start() - 300) : match.start()])[-1].split()
        inside = " ".join(_ASIDE.split(match[1], maxsplit=1)[0].split())
        if is_short_form(inside):
            short_form, words = inside, before
        elif before and is_short_form(before[-1]):
            short_form, words = before[-1], inside.split()
        else:
            continue
        most = min(len(short_form) + 5, 2 * len(short_form))
        if long_form := best_long_form(short_form, " ".join(words[-most:])):
            found.append(Definition(short_form, long_form))
    return found


def is_short_form(text: str) -> bool:
    """Whether a text may be a short form: one or two words, 2 to 10 characters, a capital, first a letter or digit."""
    return (
        _SHORTEST <= len(text) <= _LONGEST
        and text[0].isalnum()
        and any(map(str.isupper, text))
        and len(text.split()) <= 2
    )


def best_long_form(short_form: str, candidate: str) -> str | None:
    """The shortest end of `candidate` that holds the letters and digits of the short form in their order.

    The first of them begins a word. None where there is no such end, or it is no longer than the short form or holds
    it as a word.
    """
    lowered = lower_ascii(candidate)
    place = len(lowered)
    characters = [character for character in short_form.lower() if character.isalnum()]
    for i, character in reversed(list(enumerate(characters))):
        place = lowered.rfind(character, 0, place)
        while i == 0 and place > 0 and lowered[place - 1].isalnum():
            place = lowered.rfind(character, 0, place)
        if place < 0:
            return None
    start = lowered.rfind(" ", 0, place) + 1
    long_form = candidate[start:]
    if len(long_form) <= len(short_form) or short_form in long_form.split():
        return None
    return long_form
