"""Annotators by the kind that settings name."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from datagen.annotators.base import Annotator
from datagen.annotators.llm import LlmAnnotator
from datagen.annotators.rules import RuleAnnotator
from datagen.generation.settings import AskSettings
from datagen.graph.artefact import BuiltGraph


class RuleSettings(BaseModel):
    """The offline rules; nothing to set."""

    kind: Literal["rules"] = "rules"

    def identity(self) -> dict[str, object]:
        """The settings that change what is found."""
        return self.model_dump()


class LlmSettings(AskSettings):
    """A language model."""

    kind: Literal["llm"]
    task: Literal["entities", "entities_json"] = "entities"
    """One call a chunk and type as in the paper, or one call for the three."""
    votes: int = Field(default=1, ge=1)
    """How often each call is asked. An implied entity that two votes name needs no other support."""


AnnotatorSettings = Annotated[RuleSettings | LlmSettings, Field(discriminator="kind")]
"""Which annotator lists the entities of a passage."""


def make_annotator(settings: RuleSettings | LlmSettings, graph: BuiltGraph, answers: Path) -> Annotator:
    """The annotator that the settings name; a language model's `answers` stand there when it is made."""
    return RuleAnnotator() if isinstance(settings, RuleSettings) else LlmAnnotator(answers, graph)
