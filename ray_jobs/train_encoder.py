"""Train an encoder on training records with Ray Train; interrupted, it goes on from its last checkpoint."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, model_validator

from datagen.graph.artefact import BuiltGraph
from datagen.graph.licences import licence_notes
from encoders.base import BaseChanges, prepare_base
from encoders.corpus_encoding import encode_on
from encoders.encoder import Encoder
from encoders.kept_vectors import KeptVectors
from encoders.model_card import write_model_card
from encoders.spec import BUNDLED
from encoders.training.batches import steps_per_epoch
from encoders.training.data import TrainingData
from encoders.training.loop import Metrics
from encoders.training.on_ray import TENSORBOARD, Inputs, train_on_ray
from encoders.training.settings import TrainingSettings
from encoders.training.tokenising import tokenise
from encoders.workers import WorkerSettings
from evaluation.benchmarks import BenchmarkSettings
from ray_jobs.job import EncoderName, Folder, encoder_path, main, require
from ray_jobs.progress import Progress
from ray_jobs.records import MERGE_REPORT
from ray_jobs.room import require_workers
from ray_jobs.steps import Step, run_step
from ray_jobs.training_inputs import DevScore, hard_negative_sources, write_teacher

DEV_TITLES = {"dev": "dev benchmark, NDCG@10", "dev_mrr": "dev benchmark, MRR"}


class TrainEncoderSettings(BaseModel):
    base: EncoderName = BUNDLED
    """Where training starts."""
    base_changes: BaseChanges | None = None
    """What is to be different from what the base says of itself: makes an encoder of a language model."""
    records: Folder
    training: TrainingSettings = TrainingSettings()
    workers: WorkerSettings = WorkerSettings()
    dev_benchmark: BenchmarkSettings | None = None
    """Watched while training: it decides which checkpoint is exported, and may stop early."""
    built_graph: Folder | None = None
    """Where hard negatives find siblings, as the jobs that write training records build it."""
    vectors: Folder = Folder(path=Path("runs/vectors"))
    """Where a teacher's vectors are kept from one run to the next."""
    output: Folder

    @model_validator(mode="after")
    def _siblings_have_a_graph(self) -> "TrainEncoderSettings":
        hard = self.training.hard_negatives
        if hard and "siblings" in hard.sources and not self.built_graph:
            raise ValueError("training.hard_negatives.sources names siblings: give built_graph.path")
        return self

    @model_validator(mode="after")
    def _patience_has_a_benchmark(self) -> "TrainEncoderSettings":
        if self.training.dev.patience and not self.dev_benchmark:
            raise ValueError("training.dev.patience waits for a better dev score: give dev_benchmark.path")
        return self


def run(settings: TrainEncoderSettings) -> None:
    training, teaching = settings.training, settings.training.distillation
    graph = settings.built_graph.path / "built" if settings.built_graph else None
    dev = settings.dev_benchmark
    require(
        records__path=settings.records.path,
        base=encoder_path(settings.base),
        training__distillation__teacher=encoder_path(teaching.teacher) if teaching else None,
        dev_benchmark__path=dev.path if dev else None,
        built_graph__path=graph,
    )

    def train(step: Step) -> dict[str, float]:
        require_workers("training (workers)", settings.workers)
        base = _changed_base(settings, step.scratch)
        data = _tokenised(base, settings, step.scratch)
        steps_per_epoch(len(data), training.batch_size)
        teacher = None
        if teaching:
            vectors = KeptVectors(settings.vectors.path, encode_on(settings.workers, Progress()))
            teacher = write_teacher(teaching.teacher, data, vectors, step.scratch / "teacher")
        inputs = Inputs(
            base,
            step.scratch / "data",
            hard_negative_sources(training, data, BuiltGraph.open(graph) if graph else None),
            teacher,
            DevScore(dev) if dev else None,
        )
        encoder, metrics = train_on_ray(inputs, training, settings.workers, step.scratch)
        encoder.save(step.folder)
        _write_card(step.folder, encoder, data, metrics, settings)
        shutil.copytree(step.scratch / TENSORBOARD, step.folder / TENSORBOARD)
        measured: dict[str, float] = {name: metrics[name] for name in ("loss", "dev") if name in metrics}
        return {"steps": int(metrics["step"]), **measured}

    inputs: dict[str, Path | str] = {"base": settings.base, "records": settings.records.path}
    named = {"teacher": teaching.teacher if teaching else None, "dev": dev.path if dev else None, "graph": graph}
    run_step(
        "train_encoder",
        settings.output.path,
        {"training": training, "base_changes": settings.base_changes or {}, "dev_layout": dev.layout if dev else ""},
        {**inputs, **{name: each for name, each in named.items() if each}},
        train,
    )


def _write_card(
    folder: Path, encoder: Encoder, data: TrainingData, metrics: Metrics, settings: TrainEncoderSettings
) -> None:
    licences = ["Knowledge graphs, notes and the base have licences; they bind what is made from them."]
    merged = settings.records.path / MERGE_REPORT
    if merged.exists():
        licences += licence_notes(source["format"] for source in json.loads(merged.read_text())["sources"])
    averaged = ", before averaging with the base" if settings.training.base_weight else ""
    write_model_card(
        folder,
        encoder,
        settings.base,
        {"chunks": len(data), "distinct terms": data.n_terms, "steps": int(metrics["step"])},
        {f"{title}{averaged}": metrics[name] for name, title in DEV_TITLES.items() if name in metrics},
        settings.model_dump(mode="json", include={"base_changes", "training"}, exclude_none=True),
        licences,
    )


def _changed_base(settings: TrainEncoderSettings, scratch: Path) -> str:
    changes = settings.base_changes
    return (
        str(_made(scratch / "base", lambda to: prepare_base(settings.base, changes, to))) if changes else settings.base
    )


def _tokenised(base: str, settings: TrainEncoderSettings, scratch: Path) -> TrainingData:
    training = settings.training

    def make(folder: Path) -> None:
        folder.mkdir()
        tokenise(settings.records.path, base, training, folder)

    return TrainingData(_made(scratch / "data", make))


def _made(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made aside unless an interrupted run left it whole."""
    if not folder.exists():
        aside = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(aside, ignore_errors=True)
        make(aside)
        aside.rename(folder)
    return folder


if __name__ == "__main__":
    main(TrainEncoderSettings, run)
