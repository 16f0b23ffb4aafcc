"""What every annotator does: list the diagnoses, procedures and prescriptions a passage states or implies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from datagen.assertion import Assertion

Kind = Literal["diagnosis", "procedure", "prescription"]


class AnnotatorSettings(BaseModel):
    """Which annotator lists the entities of a passage."""

    kind: Literal["rules"] = "rules"


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

    @abstractmethod
    def annotate(self, texts: Sequence[str]) -> list[list[Finding]]:
        """The findings of each text, in the order of `texts`; a text without any yields an empty list."""
