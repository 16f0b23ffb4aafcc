"""What must not become training data: notes of benchmark patients, held-out terms, notes too short to learn from."""

import re
from pathlib import Path

from pydantic import BaseModel, Field

from datagen.graph.artefact import BuiltGraph, normalise


class GuardSettings(BaseModel):
    """What is left out of the training records."""

    patients: Path | None = None
    """A file of patient ids, one a line, whose notes are left out: those of a benchmark."""
    terms: Path | None = None
    """A file of terms, one a line, whose concepts never become entities: those a benchmark holds out."""
    min_words: int = Field(default=50, ge=0)
    """Notes with fewer words are left out (DR.EHR's preprocessing: 50)."""

    def files(self) -> dict[str, Path]:
        """The files that decide, by setting."""
        named = {"patients": self.patients, "terms": self.terms}
        return {f"guard.{name}": path for name, path in named.items() if path}


class Guard:
    """The guard with its files read.

    `terms` are the normalised terms that never become entities: the held-out ones, all names that the graph has for
    their concepts and for narrower ones, and every term that holds one of these as words of its own.
    """

    def __init__(self, settings: GuardSettings, graph: BuiltGraph) -> None:
        self.terms = _names_of(frozenset(map(normalise, _lines(settings.terms))), graph)
        self._patients = frozenset(_lines(settings.patients))
        self._min_words = settings.min_words

    def admits(self, patient_id: str, chunk_id: str, text: str) -> bool:
        """Whether a chunk may be trained on. Only a note's first chunk can hold fewer words than a window."""
        if patient_id in self._patients:
            return False
        return not chunk_id.endswith("_0") or len(text.split()) >= self._min_words


def _names_of(terms: frozenset[str], graph: BuiltGraph) -> frozenset[str]:
    if not terms:
        return terms
    held_out = {concept for term in terms for concept in graph.concepts_of(term)}
    concepts = [c for c in graph.concepts() if c in held_out or not held_out.isdisjoint(graph.ancestors(c))]
    names = terms.union(*(graph.terms_of(concept) for concept in concepts))
    longest_first = sorted(names, key=len, reverse=True)
    holds_one = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return names.union(term for term in graph.trie if holds_one.search(term))


def _lines(path: Path | None) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.strip()] if path else []
