"""How many replicas of a deployment there are and what each reserves with Ray."""

from typing import Any

from pydantic import BaseModel, Field, model_validator

from encoders.workers import GB


class ReplicaSettings(BaseModel):
    """Of one deployment; Serve starts more replicas under load, up to the most."""

    num_cpus: float = Field(default=0.1, ge=0)
    """Logical CPUs a replica reserves with Ray; below 1 so that a laptop holds the whole service."""
    memory_gb: float = Field(default=0, ge=0)
    """Memory a replica reserves, so that it gets a node that has it."""
    min_replicas: int = Field(default=1, gt=0)
    """With two, the one answers when the other dies."""
    max_replicas: int = Field(default=1, gt=0)
    max_replicas_per_node: int | None = Field(default=None, gt=0)
    """With one, a lost node takes one of them; it needs as many nodes as replicas."""

    @model_validator(mode="after")
    def _range(self) -> "ReplicaSettings":
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is more than max_replicas")
        return self

    def resources(self) -> dict[str, float]:
        """What Ray reserves for one replica."""
        return {"CPU": self.num_cpus, **({"memory": self.memory_gb * GB} if self.memory_gb else {})}

    def deployment_options(self) -> dict[str, Any]:
        """The same as options of a Serve deployment."""
        rest = self.resources()
        actor = {"num_cpus": rest.pop("CPU"), "num_gpus": rest.pop("GPU", 0), **rest}
        return {
            "ray_actor_options": actor,
            "autoscaling_config": self.model_dump(include={"min_replicas", "max_replicas"}),
            "max_replicas_per_node": self.max_replicas_per_node,
        }
