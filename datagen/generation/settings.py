"""How a model is asked: which engine answers, how often a call is tried."""

from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from datagen.engines import endpoint_on_ray, vllm
from datagen.engines.endpoint import EndpointSettings
from datagen.engines.endpoint_on_ray import ask_endpoint
from datagen.engines.vllm import VllmSettings, ask_vllm
from datagen.generation.rounds import Engine
from datagen.tasks.base import Task

SPEED_ARGUMENTS = frozenset(
    {
        "enforce_eager",
        "gpu_memory_utilization",
        "kv_cache_memory_bytes",
        "max_num_batched_tokens",
        "max_num_seqs",
    }
)
"""Engine arguments of vLLM that say how fast an answer comes, not which: tuning them must not ask everything again."""


class AskSettings(BaseModel):
    """How calls are asked, whatever the task."""

    model_config = ConfigDict(extra="forbid")

    engine: Annotated[VllmSettings | EndpointSettings, Field(discriminator="kind")]
    temperature: float = Field(default=0.1, ge=0)
    """0.1 as in the paper."""
    tries: int = Field(default=3, ge=1)
    """How often a call is asked whose answer fails or cannot be read."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Of the chunks that are asked about, chosen by their ids: 0.001 shows what a model makes of the notes."""

    def identity(self) -> dict[str, object]:
        """The settings that change what is answered, without those that say where, how fast and at what price."""
        engine = self.engine.model_dump(include={"kind", "model", "max_model_len", "chat_template", "arguments"})
        arguments = engine.pop("arguments", {})
        return {
            "engine": engine | {name: value for name, value in arguments.items() if name not in SPEED_ARGUMENTS},
            "temperature": self.temperature,
            "share": self.share,
        }

    def engine_for(self, task: Task) -> Engine:
        """What answers the calls of a task."""
        engine = self.engine
        if isinstance(engine, VllmSettings):
            return Engine(
                partial(ask_vllm, task=task, settings=engine, temperature=self.temperature),
                vllm.CALLS_AT_ONCE,
                partial(vllm.gpus_of, engine),
            )
        return Engine(
            partial(ask_endpoint, task=task, settings=engine, temperature=self.temperature),
            endpoint_on_ray.CALLS_AT_ONCE,
            lambda: 0,
        )
