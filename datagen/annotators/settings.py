"""Which annotator lists the entities of a passage: rules, or a language model and how it is asked."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from datagen.generation.settings import AskSettings

VOTING_TEMPERATURE = 0.3


class RuleSettings(BaseModel):
    """The offline rules; nothing to set."""

    kind: Literal["rules"] = "rules"


class LlmSettings(AskSettings):
    """A language model."""

    kind: Literal["llm"]
    task: Literal["entities", "entities_json"] = "entities"
    """One call a chunk and type as in the paper, or one call for the three."""
    votes: int = Field(default=1, ge=1)
    """How often each call is asked. An implied entity that two votes name needs no other support."""

    @model_validator(mode="after")
    def _votes_can_differ(self) -> "LlmSettings":
        if self.votes > 1 and self.temperature < VOTING_TEMPERATURE:
            raise ValueError(f"votes above 1 take a temperature of {VOTING_TEMPERATURE} or more, or they say the same")
        return self


AnnotatorSettings = Annotated[RuleSettings | LlmSettings, Field(discriminator="kind")]
"""Which annotator lists the entities of a passage."""
