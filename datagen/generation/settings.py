"""How a model is asked: which engine answers, how often a call is tried."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from ray.data import Dataset

from datagen.engines.endpoint import EndpointSettings
from datagen.engines.endpoint_on_ray import ask_endpoint
from datagen.engines.vllm import VllmSettings, ask_vllm
from datagen.generation.rounds import Ask
from datagen.tasks.base import Task


class AskSettings(BaseModel):
    """How calls are asked, whatever the task."""

    model_config = ConfigDict(extra="forbid")

    engine: Annotated[VllmSettings | EndpointSettings, Field(discriminator="kind")]
    temperature: float = Field(default=0.1, ge=0)
    """0.1 as in the paper; several votes of one call need more, or they say the same."""
    tries: int = Field(default=3, ge=1)
    """How often a call is asked whose answer fails or cannot be read."""

    def identity(self) -> dict[str, object]:
        """The settings that change what is answered, without those that say where, how fast and at what price."""
        said = {"kind", "model", "max_model_len", "chat_template", "arguments"}
        return self.model_dump(exclude={"engine", "tries"}) | {"engine": self.engine.model_dump(include=said)}

    def ask(self, task: Task) -> Ask:
        """What answers the calls of a task."""
        engine = self.engine

        def ask(calls: Dataset) -> Dataset:
            if isinstance(engine, VllmSettings):
                return ask_vllm(calls, task, engine, self.temperature)
            return ask_endpoint(calls, task, engine, self.temperature)

        return ask
