"""What training brings on text that nobody here wrote: an ablation at one budget of steps, with intervals.

    python -m benchmarks.retrieval_gain [--stage1 <folder>] [--stage2 <folder>] [--work <folder>] [--steps 300]
        [--rows "stage 1" ...] [--seeds 0 1 2] [--set training.learning_rate=1e-4 ...]

Trains the rows as plain processes with the settings of recipes/open_stage1.yaml and open_stage2.yaml, evaluates each on
the open benchmarks against the base encoder, BM25 and the hybrid with the base, and prints a table. What stands in
the work folder, of the same records and settings, is not done again: an interrupted run goes on with the next row. The
last line is JSON.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import xxhash
import yaml

from benchmarks.open_data import DATA, RUNS, open_records
from encoders.encoder import Encoder
from encoders.kept_vectors import KeptVectors, encode_here
from encoders.spec import BUNDLED
from encoders.training.checkpoints import trained
from encoders.training.data import TrainingData
from encoders.training.loop import Hooks, train
from encoders.training.settings import TrainingSettings
from encoders.training.step import Teacher
from encoders.training.tables import stage_records, write_tables
from evaluation.benchmark import Benchmark
from evaluation.benchmarks import BenchmarkSettings
from evaluation.comparison import read_evaluation
from evaluation.evaluate import EvaluateSettings, OutputSettings, compare_figures, evaluate
from evaluation.retrievers import Bench
from ray_jobs.steps import input_fingerprint

BENCHMARKS = ("bench-dev", "bench-dev-drugs")
MATCHED = ("match", "abbreviation")
STAGE2_SHARE = 0.2
SECONDS = "seconds"
NON_STRING = "multi_patient/by_match_type/non-string/mrr"
FEWEST = 100
"""Queries of a type that is looked at for what was forgotten."""


class Phase(NamedTuple):
    """Some steps on one set of records."""

    records: str
    share: float = 1.0
    """Of the budget of steps."""
    changes: Mapping[str, Any] = MappingProxyType({})

    @property
    def stage(self) -> str:
        """Whose recipe and records these are."""
        return "stage2" if self.records == "stage2" else "stage1"


PUBLISHED = {"loss": "multi_similarity_as_published", "false_negative_mask": False}
LITERAL = {"loss": "multi_similarity_as_published"}
ROWS: dict[str, list[Phase]] = {
    "stage 1": [Phase("stage1")],
    "without copies and lists": [Phase("notes")],
    "without expansion": [Phase("matched")],
    "without the mask": [Phase("stage1", changes={"false_negative_mask": False})],
    "without phrases": [Phase("stage1", changes={"phrases": 0})],
    "with averaging": [Phase("stage1", changes={"base_weight": 0.3})],
    "with the base as teacher": [Phase("stage1", changes={"distillation": {"teacher": BUNDLED}})],
    "multi-similarity": [Phase("stage1", changes={"loss": "multi_similarity"})],
    "loss as published": [Phase("stage1", changes=LITERAL)],
    "loss and negatives as published": [Phase("stage1", changes=PUBLISHED)],
    "stage 1 + 2": [Phase("stage1", 1 - STAGE2_SHARE), Phase("stage2", STAGE2_SHARE)],
    "stage 1 + 2, shared as the recipes do": [Phase("stage1", 900 / 960), Phase("stage2", 60 / 960)],
}


def tokenised(records: Path, name: str, work: Path, settings: TrainingSettings) -> TrainingData:
    """The tables of all records, or of what SUBSETS says."""
    folder = work / f"data-{name}-{_digest(input_fingerprint(records), settings.phrases)}"
    if not folder.exists():
        aside = folder.with_suffix(".unfinished")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        lines = [line for file in sorted(records.glob("*.jsonl")) for line in file.open(encoding="utf-8")]
        if name in SUBSETS:
            lines = [kept for line in lines if (kept := SUBSETS[name](line))]
        rows = stage_records(lines, [str(records)] * len(lines), BUNDLED, settings.chunk_tokens)
        write_tables(rows, BUNDLED, settings, aside)
        aside.rename(folder)
    return TrainingData(folder)


def _matched_only(line: str) -> str:
    record = json.loads(line)
    kept = [place for place, how in enumerate(record["provenance"]) if how in MATCHED]
    for name in ("entities", "concepts", "provenance", "assertion"):
        record[name] = [record[name][place] for place in kept]
    return json.dumps(record) if kept else ""


def _of_notes(line: str) -> str:
    return "" if "~" in json.loads(line)["idx"] else line


SUBSETS: dict[str, Callable[[str], str]] = {"matched": _matched_only, "notes": _of_notes}
"""What is left of a line: without what the graph added to it; nothing where the chunk is not the notes' own."""


def settings_of(phase: Phase, seed: int, arguments: argparse.Namespace) -> TrainingSettings:
    """Those of the recipe of the phase's stage, with what is changed; epochs are no limit, steps are."""
    recipe = yaml.safe_load(Path(f"recipes/open_{phase.stage}.yaml").read_text())["training"]
    budget = {"max_steps": round(phase.share * arguments.steps), "epochs": 1000, "checkpoint_steps": None}
    return TrainingSettings.model_validate({**recipe, **phase.changes, **dict(arguments.set), **budget, "seed": seed})


def train_row(
    phases: Sequence[Phase], seed: int, arguments: argparse.Namespace, folder: Path, kept: KeptVectors
) -> None:
    """Write the row's encoder into `folder`, and what it took."""
    base, begun = BUNDLED, time.monotonic()
    for number, phase in enumerate(phases, 1):
        settings = settings_of(phase, seed, arguments)
        data = tokenised(getattr(arguments, phase.stage), phase.records, arguments.work, settings)
        teacher = None
        if settings.distillation:
            load = partial(Encoder.load, settings.distillation.teacher)
            named = settings.distillation.teacher, load, load().fingerprint
            teacher = Teacher(kept(*named, data.chunk_texts(np.arange(len(data)))), kept(*named, data.terms(), "query"))
        scratch = folder.with_name(f"{folder.name}.scratch")
        hooks = Hooks(report=lambda *_: None, progress=_say, teacher=teacher)
        train(Encoder.load(base), data, settings, hooks, scratch)
        output = folder.with_name(f"{folder.name}.phase{number}")
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        trained(base, scratch, settings).save(output)
        shutil.rmtree(scratch)
        base = str(output)
    (output / SECONDS).write_text(f"{time.monotonic() - begun:.0f}")
    output.rename(folder)


def _say(metrics: dict[str, float]) -> None:
    if metrics["step"] % 25 == 0:
        seconds = f"{metrics['chunks_per_second']:.1f} chunks/s, ETA {metrics['eta_seconds']:.0f} s"
        print(f"  step {metrics['step']}/{metrics['steps']}, loss {metrics['loss']:.4f}, {seconds}", flush=True)


def evaluated(encoder: Path, data: Path, folder: Path, kept: KeptVectors) -> dict[str, Any]:
    """The evaluation on each benchmark, by its name."""
    found = {}
    retrievers = ["dense:bundled", f"dense:{encoder}", "bm25", "hybrid:bundled", f"hybrid:{encoder}"]
    for name in BENCHMARKS:
        output = folder / name
        if not (output / "metrics.json").exists():
            output.mkdir(parents=True, exist_ok=True)
            settings = EvaluateSettings(
                benchmark=BenchmarkSettings(path=data / name),
                retrievers=retrievers,
                output=OutputSettings(path=output),
            )

            def bench(benchmark: Benchmark) -> Bench:
                return Bench(benchmark, lambda line: None, lambda *_: None, kept)

            evaluate(settings, output, bench)
        found[name] = read_evaluation(output)
    return found


def summary(encoder: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    """What a table row says of one benchmark."""
    ranked = {name: of["multi_patient"] for name, of in metrics["retrievers"].items()}
    base, ours = (ranked[f"dense:{name}"] for name in (BUNDLED, encoder))
    differences = metrics["comparisons"][f"dense:{encoder}"]
    lost = {
        kind: round(ours[by][kind]["mrr"] - of["mrr"], 4)
        for by in ("by_match_type", "by_query_type")
        for kind, of in base[by].items()
        if of["n"] >= FEWEST and ours[by][kind]["mrr"] < of["mrr"] - 0.02
    }
    figures = metrics["figures"]
    hybrid = figures[f"hybrid:{encoder}"]
    of_hybrid = compare_figures({name: (hybrid, figures[name]) for name in ("bm25", f"hybrid:{BUNDLED}")})
    return {
        "hybrid_gain": {name: _gain(of["multi_patient/mrr"]) for name, of in of_hybrid.items()},
        "hybrid_non_string_gain": {name: _gain(of[NON_STRING]) for name, of in of_hybrid.items()},
        "mrr_gain": _gain(differences["multi_patient/mrr"]),
        "non_string_gain": _gain(differences[NON_STRING]),
        "forgotten": lost,
        "mrr": {_short(name, encoder): round(of["mrr"], 4) for name, of in ranked.items()},
        "non_string_mrr": {
            _short(name, encoder): round(of["by_match_type"]["non-string"]["mrr"], 4) for name, of in ranked.items()
        },
    }


def _gain(difference: dict[str, Any]) -> list[float]:
    return [round(difference[name], 4) for name in ("mean", "low", "high")]


def _short(retriever: str, encoder: Path) -> str:
    return retriever.replace(str(encoder), "trained")


def _digest(*parts: Any) -> str:
    return xxhash.xxh64_hexdigest(json.dumps(parts).encode())[:8]


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.removeprefix("training.").partition("=")
    return name, yaml.safe_load(value)


def main() -> None:
    """Train, evaluate and print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage1", type=Path, help="records; without it those of the open notes are made")
    parser.add_argument("--stage2", type=Path, help="likewise")
    parser.add_argument("--work", type=Path, default=RUNS / "retrieval_gain")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--set", type=_setting, nargs="+", default=[])
    arguments = parser.parse_args()
    arguments.stage1, arguments.stage2 = arguments.stage1 or open_records(1), arguments.stage2 or open_records(2)
    kept, results = KeptVectors(arguments.work / "vectors", encode_here), {}
    for row in arguments.rows:
        for seed in arguments.seeds:
            phases = ROWS[row]
            parts = [settings_of(phase, seed, arguments).model_dump_json() for phase in phases]
            read = [input_fingerprint(getattr(arguments, phase.stage)) for phase in phases]
            folder = arguments.work / f"{row.replace(' ', '_')}-{seed}-{_digest(parts, read)}"
            if not (folder / "encoder").exists():
                print(f"{row}, seed {seed}", flush=True)
                train_row(phases, seed, arguments, folder / "encoder", kept)
            metrics = evaluated(folder / "encoder", arguments.data, folder, kept)
            found = {name: summary(folder / "encoder", of) for name, of in metrics.items()}
            results[f"{row}, seed {seed}"] = {"seconds": int((folder / "encoder" / SECONDS).read_text()), **found}
            print(json.dumps({f"{row}, seed {seed}": results[f"{row}, seed {seed}"]}), flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
