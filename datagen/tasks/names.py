"""Names of entities as a model writes them, brought to the form that training uses."""

import re
from collections.abc import Iterable

_PARENTHESES = re.compile(r"\((?:[^()]|\([^()]*\))*\)?")
_EMPHASIS = "*_`\"'“”"
_NOTHING = {"", "na", "n/a", "none"}


def clean_name(name: str) -> str:
    """The name without parentheses, emphasis and final punctuation (DR.EHR, arXiv 2507.18583); "" for NA."""
    bare = " ".join(_PARENTHESES.sub(" ", name).split()).strip(_EMPHASIS + "- ").rstrip(".,;:!?)" + _EMPHASIS + " ")
    return "" if bare.casefold() in _NOTHING else bare


def clean_names(names: Iterable[str]) -> list[str]:
    """The clean names, each once, in their order."""
    return list(dict.fromkeys(filter(None, map(clean_name, names))))
