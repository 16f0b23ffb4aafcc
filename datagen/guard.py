"""What must not become training data: notes of a benchmark or of its patients, held-out terms, too short notes."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from corpus.chunking import Cleaned
from datagen.graph.artefact import BuiltGraph, normalise
from datagen.graph.folding import fold
from datagen.near_duplicates import BenchmarkTexts

Rule = Literal["held_out_patient", "benchmark_id", "near_duplicate", "too_short"]
"""Why a note is left out."""


class GuardSettings(BaseModel):
    """What is left out of the training records."""

    patients: Path | None = None
    """A file of patient ids, one a line, whose notes are left out: those of a benchmark."""
    ids: Path | None = None
    """A file of note or encounter ids, one a line, whose notes are left out: CliniQ's test_hadm_ids.txt."""
    benchmark: Path | None = None
    """A benchmark folder, or a file in the form of its corpus.jsonl(.gz): its notes are left out, by id and by text."""
    overlap: float = Field(default=0.3, gt=0, le=1)
    """Share of the shorter one's 8-word sequences from which a note duplicates one of the benchmark."""
    terms: Path | None = None
    """A file of terms, one a line, whose concepts never become entities: those a benchmark holds out."""
    min_words: int = Field(default=50, ge=0)
    """Notes with fewer words after cleaning are left out (DR.EHR's preprocessing: 50)."""

    def files(self) -> dict[str, Path]:
        """The files that decide, by setting."""
        named = {"patients": self.patients, "ids": self.ids, "benchmark": self.benchmark, "terms": self.terms}
        return {f"guard.{name}": path for name, path in named.items() if path}


class Guard:
    """The guard with its files read; raises ValueError naming the file and row of a benchmark of another form.

    `terms` are the normalised terms that never become entities: the held-out ones, all names that the graph has for
    their concepts and for narrower ones, and every term that holds one of these as words of its own.
    """

    def __init__(self, settings: GuardSettings, graph: BuiltGraph | None) -> None:
        """Without a graph no term is held out: for what reads notes and makes no entities."""
        self.terms = _names_of(frozenset(map(normalise, _lines(settings.terms))), graph) if graph else frozenset()
        self._patients = frozenset(_lines(settings.patients))
        self._benchmark = BenchmarkTexts(settings.benchmark, settings.overlap) if settings.benchmark else None
        self._ids = frozenset(_lines(settings.ids)).union(self._benchmark.note_ids if self._benchmark else ())
        self._min_words = settings.min_words

    def rule_for_note(self, note_id: str, encounter_id: str | None, patient_id: str, text: str) -> Rule | None:
        """The rule that leaves a note out of training, the first that holds; None for a note to train on."""
        if patient_id in self._patients:
            return "held_out_patient"
        if note_id in self._ids or encounter_id in self._ids:
            return "benchmark_id"
        if self._benchmark and self._benchmark.overlaps(text):
            return "near_duplicate"
        if len(Cleaned(text, "drehr").text.split()) < self._min_words:
            return "too_short"
        return None


def _names_of(terms: frozenset[str], graph: BuiltGraph) -> frozenset[str]:
    if not terms:
        return terms
    concepts = graph.narrower({concept for term in terms for concept in graph.concepts_of(term)})
    names = terms.union(*(graph.terms_of(concept) for concept in concepts))
    forms = {form for name in names if (form := fold(name))}
    most_words = max((form.count(" ") + 1 for form in forms), default=0)

    def holds_one(term: str) -> bool:
        words = fold(term).split()
        return any(
            " ".join(words[first : first + count]) in forms
            for first in range(len(words))
            for count in range(1, most_words + 1)
        )

    return names.union(filter(holds_one, graph.terms.trie.iterkeys()))


def _lines(path: Path | None) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()] if path else []
