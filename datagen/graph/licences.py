"""What binds whoever uses something that a knowledge graph's terms went into; docs/knowledge_graphs.md says more."""

from collections.abc import Iterable

_OF_FORMATS = {
    "bios": "BIOS is CC BY-NC-ND 4.0: nothing derived from it may be passed on.",
    "umls": "UMLS: everyone who gets what is derived from it needs its licence, and that of each source vocabulary.",
    "atc": "ATC is CC BY-NC-SA 4.0: no commercial use, reference to WHOCC.",
    "abbreviations": "Inventories of abbreviations differ: ADAM is under the GPL, Wikipedia's under CC BY-SA.",
    "hpoa": "HPO asks for its version and attribution (hpo.jax.org/app/license).",
    "babelon": "HPO asks for its version and attribution (hpo.jax.org/app/license).",
    "primekg": "PrimeKG joins 20 sources, each under its own licence.",
}


def licence_notes(formats: Iterable[str]) -> list[str]:
    """A line for each licence that restricts what is made from graphs of these formats."""
    return list(dict.fromkeys(_OF_FORMATS[name] for name in formats if name in _OF_FORMATS))
