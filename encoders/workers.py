"""The processes that an encoder runs on."""

from typing import Any

from pydantic import BaseModel, Field, model_validator

GB = 1e9
ACCELERATOR = "accelerator_type:"
"""And the kind of GPU: a resource of which Ray gives every node with such GPUs one."""
SOME = 0.001
"""Of a resource that there is one of on a node, as Ray itself asks: so that many find a place on it."""


class WorkerSettings(BaseModel):
    """Ray workers, for training and for encoding a corpus."""

    number: int = Field(default=2, gt=0)
    min_number: int | None = Field(default=None, gt=0)
    """Training goes on with so many while machines are lost, and with more as they come; None: it waits for all."""
    cpus: float = Field(default=1, gt=0)
    """CPUs a worker; it runs as many threads."""
    memory_gb: float = Field(default=0, ge=0)
    """Memory that Ray reserves for a worker, so that it gets a node that has it."""
    use_gpu: bool = False
    """One GPU a worker."""
    accelerator_type: str | None = None
    """The kind of GPU as Ray names it (H100, L40S, ...), where the cluster has several."""

    @model_validator(mode="after")
    def _fits(self) -> "WorkerSettings":
        if self.min_number and self.min_number > self.number:
            raise ValueError("workers.min_number is more than workers.number")
        if self.accelerator_type and not self.use_gpu:
            raise ValueError("workers.accelerator_type is a kind of GPU: set workers.use_gpu as well")
        return self

    def resources(self) -> dict[str, float]:
        """What Ray reserves for one worker."""
        return {
            "CPU": self.cpus,
            **({"GPU": 1} if self.use_gpu else {}),
            **({"memory": self.memory_gb * GB} if self.memory_gb else {}),
            **({ACCELERATOR + self.accelerator_type: SOME} if self.accelerator_type else {}),
        }

    def actor_options(self) -> dict[str, Any]:
        """The same as options of a Ray actor."""
        further = self.resources()
        own = {"num_cpus": further.pop("CPU"), "num_gpus": further.pop("GPU", 0), "memory": further.pop("memory", None)}
        return {**{name: value for name, value in own.items() if value is not None}, "resources": further}
