"""A plan against a run that its rates were not fitted on.

    python -m benchmarks.plan_check [--patients 60 240 800] [--steps 4 16 40] [--shards 1 2 3]

The jobs from notes to index, by the rules and with the bundled encoder, on synthetic hospitals of three sizes, in a Ray
that is up already. A line through the first two gives the start and the rate of each job, training that of stage 1 for
both stages. On these alone rests the plan of the third: more notes, other steps, a second stage of half the steps and
other shards. A first small run, not counted, warms up. All run one after the other, so that other work on the machine
slows both sides, as far as it lasts. The last line is JSON: `predicted_s`, `measured_s`, their `ratio`, and both of
each job.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from ray_jobs import build_index, generate_entities, generate_hospital, match_entities, prepare_corpus, train_encoder
from ray_jobs.build_index import BuildIndexSettings
from ray_jobs.generate_entities import GenerateEntitiesSettings
from ray_jobs.generate_hospital import GenerateHospitalSettings
from ray_jobs.job import load_settings, ray_session
from ray_jobs.match_entities import MatchEntitiesSettings
from ray_jobs.plan_rates import NodeChanges
from ray_jobs.planning import HOUR, PlanSettings, ServingPlan, StagePlan, make_plan
from ray_jobs.prepare_corpus import PrepareCorpusSettings
from ray_jobs.steps import read_manifest
from ray_jobs.train_encoder import TrainEncoderSettings

RATES = {
    "prepare": ("prepare", "start_prepare"),
    "match": ("match", "start_match"),
    "generate": ("rules", "start_generate"),
    "train 1": ("train_bundled", "start_train"),
    "index": ("encode_bundled", "start_index"),
}
"""Of each job here the rates that a plan takes."""
BATCH, EPOCHS = 32, 1000
WORKER = ["workers.number=1", "workers.cpus=2"]
LEAST = 1e-3


class Size(NamedTuple):
    """What is run."""

    patients: int
    steps: int
    shards: int


class Done(NamedTuple):
    """What it took."""

    notes: int
    chunks: int
    seconds: dict[str, float]
    """Of each job."""


def run_road(size: Size, folder: Path, graph: Path, has_stage2: bool) -> Done:
    """Run the jobs one after the other."""
    store, records = folder / "store", {1: folder / "records1", 2: folder / "records2"}
    seconds: dict[str, float] = {}

    def job(name: str, module: Any, settings: type[BaseModel], *overrides: str) -> None:
        recipe = Path("recipes") / f"{module.__name__.rpartition('.')[2]}.yaml"
        wanted = load_settings(settings, recipe, overrides)
        begun = time.perf_counter()
        module.run(wanted)
        seconds[name] = time.perf_counter() - begun

    hospital = ["hospital.benchmark_patients=1", f"output.path={folder / 'hospital'}"]
    job("hospital", generate_hospital, GenerateHospitalSettings, f"hospital.patients={size.patients}", *hospital)
    notes = [f"notes.path={folder / 'hospital' / 'notes'}", "notes.format=parquet"]
    job("prepare", prepare_corpus, PrepareCorpusSettings, *notes, f"store.path={store}")
    of_both = [f"store.path={store}", f"built_graph.path={graph}"]
    job("match", match_entities, MatchEntitiesSettings, *of_both, f"output.path={records[1]}")
    job("generate", generate_entities, GenerateEntitiesSettings, *of_both, f"output.path={records[2]}")
    for stage, steps in ((1, size.steps), (2, size.steps // 2))[: 1 + has_stage2]:
        training = [f"training.max_steps={steps}", f"training.epochs={EPOCHS}", f"training.batch_size={BATCH}"]
        paths = [f"records.path={records[stage]}", f"output.path={folder / f'encoder{stage}'}"]
        job(f"train {stage}", train_encoder, TrainEncoderSettings, *training, *WORKER, *paths)
    index = [f"store.path={store}", f"index.shards={size.shards}", f"output.path={folder / 'release'}"]
    job("index", build_index, BuildIndexSettings, *index)
    counted = (read_manifest(store) or {})["result"]
    return Done(counted["notes"], counted["chunks"], seconds)


def fitted(sizes: list[Size], runs: list[Done]) -> dict[str, float]:
    """Starts and rates by a line through two runs."""
    rates: dict[str, float] = {}
    for job, (rate, start) in RATES.items():
        one, other = (_amount(job, *each) for each in zip(sizes, runs, strict=True))
        early, late = (run.seconds[job] for run in runs)
        # Noise may make the larger run the faster one: then all of it is taken to be work.
        slope = (late - early) / (other - one) if late > early else late / other
        rates |= {rate: 1 / slope, start: max(LEAST, early - slope * one)}
    return rates


def predicted(size: Size, notes: int, sample: Done, rates: dict[str, float]) -> dict[str, float]:
    """Seconds of each job, by the plan."""
    settings = PlanSettings(
        notes=notes,
        words_per_note=1,
        chunks_per_note=sample.chunks / sample.notes,
        variant="bundled",
        stage1=StagePlan(epochs=EPOCHS, batch_size=BATCH, max_steps=size.steps),
        stage2=StagePlan(epochs=EPOCHS, batch_size=BATCH, max_steps=size.steps // 2),
        serving=ServingPlan(shards=size.shards),
        # Rates here are those of the machine.
        rates={**rates, "parallel": 1},
        node_types={"processors": NodeChanges(cores=1)},
    )
    names = ("prepare", "match", "generate", "train 1", "train 2", "index")
    return {name: HOUR * line.hours for name, line in zip(names, make_plan(settings).road, strict=True)}


def compare(sizes: list[Size], small: list[Done], planned: Done) -> dict[str, Any]:
    """The figures: the plan of the last size, by rates of the first two, beside what it took."""
    rates = fitted(sizes[:2], small)
    plan = predicted(sizes[2], planned.notes, small[1], rates)
    jobs = {job: [round(seconds, 1), round(planned.seconds[job], 1)] for job, seconds in plan.items()}
    total, measured = (sum(both) for both in zip(*jobs.values(), strict=True))
    return {
        "predicted_s": round(total, 1),
        "measured_s": round(measured, 1),
        "ratio": round(total / measured, 3),
        "jobs": jobs,
        "chunks": [*(done.chunks for done in small), planned.chunks],
        "rates": {name: round(value, 3) for name, value in rates.items()},
    }


def main() -> None:
    """Measure, plan, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, values in (("--patients", [60, 240, 800]), ("--steps", [4, 16, 40]), ("--shards", [1, 2, 3])):
        parser.add_argument(name, type=int, nargs=3, default=values)
    arguments = parser.parse_args()
    sizes = [Size(*each) for each in zip(arguments.patients, arguments.steps, arguments.shards, strict=True)]
    with tempfile.TemporaryDirectory(prefix="drehr-plan-") as temporary, ray_session():
        folder = Path(temporary)

        def run(name: str, size: Size, has_stage2: bool = False) -> Done:
            return run_road(size, folder / name, folder / "graph", has_stage2)

        run("warm-up", Size(20, 2, 1))
        small = [run(f"size-{size.patients}", size) for size in sizes[:2]]
        planned = run("planned", sizes[2], has_stage2=True)
    figures = compare(sizes, small, planned)
    for job, (seconds, found) in figures["jobs"].items():
        print(f"{job}: predicted {seconds} s, took {found} s")
    print(json.dumps({**figures, "load": os.getloadavg()}))


def _amount(job: str, size: Size, run: Done) -> float:
    return BATCH * size.steps if job == "train 1" else run.chunks


if __name__ == "__main__":
    main()
