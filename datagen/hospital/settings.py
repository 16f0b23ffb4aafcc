"""How large the synthetic hospital is and from which seed it grows."""

from pydantic import BaseModel, Field


class HospitalSettings(BaseModel):
    """Patients `0 .. patients-1` are for training, the `benchmark_patients` after them for the benchmark."""

    patients: int = Field(default=1000, ge=1)
    benchmark_patients: int = Field(default=60, ge=1)
    seed: int = 0
    """Also decides which concepts and implication patterns are held out of training."""
