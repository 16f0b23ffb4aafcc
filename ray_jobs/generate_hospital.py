"""Write a synthetic hospital: notes of training and benchmark patients, and a benchmark with the truth about them."""

from collections.abc import Iterator

import ray
from pydantic import BaseModel

from corpus.chunking import ChunkingSettings
from datagen.hospital.benchmark import write_benchmark
from datagen.hospital.patients import write_notes
from datagen.hospital.settings import HospitalSettings
from ray_jobs.job import Folder, main
from ray_jobs.progress import Progress
from ray_jobs.steps import Step, package_data, run_step

PATIENTS_A_FILE = 250


class GenerateHospitalSettings(BaseModel):
    hospital: HospitalSettings = HospitalSettings()
    chunking: ChunkingSettings = ChunkingSettings()
    """As the corpus will be chunked: the benchmark judges chunks by their ids."""
    output: Folder


def run(settings: GenerateHospitalSettings) -> None:
    run_step(
        "generate_hospital",
        settings.output.path,
        {"hospital": settings.hospital, "chunking": settings.chunking},
        {"facts": package_data("datagen.hospital")},
        lambda step: _generate(settings, step),
    )


def _generate(settings: GenerateHospitalSettings, step: Step) -> dict[str, int]:
    hospital = settings.hospital
    notes = step.folder / "notes"
    notes.mkdir()
    total = hospital.patients + hospital.benchmark_patients
    write = ray.remote(write_notes)
    benchmark = ray.remote(write_benchmark).remote(hospital, settings.chunking, step.folder / "benchmark")
    pending = {
        write.remote(hospital, first, last, notes / f"patients-{first:07d}.parquet"): last - first
        for first, last in _ranges(total)
    }
    progress = Progress()
    while pending:
        (done,), _ = ray.wait(list(pending), num_returns=1)
        ray.get(done)
        progress("patients written", pending.pop(done), total)
    ray.get(benchmark)
    return {"patients": total}


def _ranges(total: int) -> Iterator[tuple[int, int]]:
    for first in range(0, total, PATIENTS_A_FILE):
        yield first, min(total, first + PATIENTS_A_FILE)


if __name__ == "__main__":
    main(GenerateHospitalSettings, run)
