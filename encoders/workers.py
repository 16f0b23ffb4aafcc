"""The processes that an encoder runs on."""

from pydantic import BaseModel, Field


class WorkerSettings(BaseModel):
    """Ray workers, for training and for encoding a corpus."""

    number: int = Field(default=2, gt=0)
    cpus: float = Field(default=1, gt=0)
    """CPUs a worker; it runs as many threads."""
    use_gpu: bool = False
    """One GPU a worker."""

    def resources(self) -> dict[str, float]:
        """What Ray reserves for one worker."""
        return {"CPU": self.cpus, **({"GPU": 1} if self.use_gpu else {})}
