"""Names of entities as a model writes them, brought to the form that training uses."""

import re
from collections.abc import Iterable

_PARENTHESES = re.compile(r"\((?:[^()]|\([^()]*\))*\)?")
_NA = re.compile(r"\W*(?:na|n/a|none)\W*", re.IGNORECASE)
_MARKS = "*_`\"'“”- "
"""Emphasis, quotes and bullets."""


def is_na(text: str) -> bool:
    """Whether this is how models write that there is nothing to list."""
    return _NA.fullmatch(_PARENTHESES.sub(" ", text)) is not None


def clean_names(names: Iterable[str]) -> list[str]:
    """The clean names, each once, in their order, without NA."""
    return list(dict.fromkeys(name for name in map(clean_name, names) if name and not is_na(name)))


def clean_name(name: str) -> str:
    """The name without parentheses and final punctuation, as in DR.EHR (arXiv 2507.18583), and without emphasis."""
    return " ".join(_PARENTHESES.sub(" ", name).split()).lstrip(_MARKS).rstrip(_MARKS + ".,;:!?)")
