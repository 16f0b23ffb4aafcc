"""The form in which terms and texts meet whatever their case, plural, hyphens and apostrophes."""

import re

WORD = re.compile(r"[^\W_]+")
POSSESSIVE = re.compile(r"['’][sS]\b")
_MOST_CAPITALS = 5
_NO_PLURALS = frozenset({"aids", "lens", "mers", "sars"})
"""Dropping their s would give another word."""
_STAY = ("ss", "us", "is")
_SES_OF_SIS = ("stases", "noses", "lyses", "roses", "ptoses", "mboses", "moses")


def fold(text: str) -> str:
    """The words of `text` (runs of letters and digits), lower-cased, in the singular, one space between them.

    "Alzheimer's", "alzheimers" and "Alzheimer" fold alike, so do "x-rays" and "X ray". Short words in capitals are
    abbreviations and keep their s: ARDS, THES.
    """
    return " ".join(map(fold_word, WORD.findall(POSSESSIVE.sub("", text))))


def fold_word(word: str) -> str:
    """One word, folded. The few characters that lower case would lengthen stay as they are."""
    lowered = word.lower() if len(word.lower()) == len(word) else word
    return lowered if is_short_form(word) else singular(lowered)


def singular(word: str) -> str:
    """The singular of a lower-cased English word by its ending. Rough: what matters is that variants meet."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(_STAY) or word in _NO_PLURALS:
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(_SES_OF_SIS):
        return word[:-2] + "is"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1]


def is_short_form(term: str) -> bool:
    """Whether a term is written as abbreviations are: one short word in capitals (ALL, COPD, T2DM)."""
    return len(term) <= _MOST_CAPITALS and term.isupper() and term.isalnum()
