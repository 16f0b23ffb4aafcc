"""What every annotator does: list the diagnoses, procedures and prescriptions a passage states or implies."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from datagen.assertion import Assertion
from datagen.training_notes import TrainingNote

Kind = Literal["diagnosis", "procedure", "prescription"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One entity of a passage under its standard name."""

    term: str
    kind: Kind
    assertion: Assertion
    implied: bool
    """True where the passage says it only through something else: a drug, a value, an image, a device."""


class Annotator(ABC):
    """One engine that reads passages."""

    provenance: ClassVar[str]
    """How its entities came in, as records say it."""

    @abstractmethod
    def findings(self, notes: Sequence[TrainingNote], counts: Counter[str]) -> list[list[Finding]]:
        """The findings of every chunk of the notes, in order; an empty list for one without any.

        `counts` is told what was left out, and why.
        """
