"""What must not become training data: notes of benchmark patients, held-out terms, notes too short to learn from."""

from pathlib import Path

from pydantic import BaseModel, Field

from datagen.graph.artefact import normalise


class GuardSettings(BaseModel):
    """What is left out of the training records."""

    patients: Path | None = None
    """A file of patient ids, one a line, whose notes are left out: those of a benchmark."""
    terms: Path | None = None
    """A file of terms, one a line, that never become entities: those a benchmark holds out."""
    min_words: int = Field(default=50, ge=0)
    """Notes with fewer words are left out (DR.EHR's preprocessing: 50)."""

    def files(self) -> dict[str, Path]:
        """The files that decide, by setting."""
        named = {"patients": self.patients, "terms": self.terms}
        return {f"guard.{name}": path for name, path in named.items() if path}


class Guard:
    """The guard with its files read."""

    def __init__(self, settings: GuardSettings) -> None:
        self.terms = frozenset(map(normalise, _lines(settings.terms)))
        self._patients = frozenset(_lines(settings.patients))
        self._min_words = settings.min_words

    def admits(self, patient_id: str, chunk_id: str, text: str) -> bool:
        """Whether a chunk may be trained on. Only a note's first chunk can hold fewer words than a window."""
        if patient_id in self._patients:
            return False
        return not chunk_id.endswith("_0") or len(text.split()) >= self._min_words


def _lines(path: Path | None) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.strip()] if path else []
