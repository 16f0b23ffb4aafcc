"""The whole road in one job: notes -> store -> training records -> encoder -> release -> service -> evaluation.

Each step is a job of its own with its settings taken from the recipe's sections. A finished step is skipped when the
pipeline runs again; a changed setting reruns the steps that depend on it.
"""

from pathlib import Path

from pydantic import model_validator

from corpus.chunking import ChunkingSettings
from corpus.settings import NotesSettings
from datagen.annotators.settings import AnnotatorSettings, RuleSettings
from datagen.graph.settings import GraphSettings
from datagen.guard import GuardSettings
from datagen.hospital.settings import HospitalSettings
from datagen.stage1 import Stage1Settings, stage1_settings
from encoders.spec import BUNDLED
from encoders.training.settings import TrainingSettings
from encoders.workers import WorkerSettings
from evaluation.benchmarks import BenchmarkSettings
from ray_jobs import (
    build_index,
    evaluate,
    generate_entities,
    generate_hospital,
    match_entities,
    prepare_corpus,
    train_encoder,
)
from ray_jobs.build_index import BuildIndexSettings, IndexSettings
from ray_jobs.evaluate import EvaluateJobSettings
from ray_jobs.example_searches import ExampleSettings, show_example_searches
from ray_jobs.generate_entities import GenerateEntitiesSettings
from ray_jobs.generate_hospital import GenerateHospitalSettings
from ray_jobs.job import EncoderName, Folder, encoder_path, main, require
from ray_jobs.match_entities import MatchEntitiesSettings
from ray_jobs.prepare_corpus import PrepareCorpusSettings
from ray_jobs.room import require_room
from ray_jobs.serve import require_free_port
from ray_jobs.train_encoder import TrainEncoderSettings
from serving.application import HttpSettings, ReleaseSettings, ServeSettings, deploy, is_running, reserved, shutdown


class PipelineSettings(Stage1Settings):
    """Notes come from `notes`, or from a synthetic `hospital` that brings its own benchmark and guard."""

    hospital: HospitalSettings | None = None
    notes: NotesSettings | None = None
    chunking: ChunkingSettings = ChunkingSettings()
    graph: GraphSettings = GraphSettings()
    annotator: AnnotatorSettings = RuleSettings()
    guard: GuardSettings = GuardSettings()
    base: EncoderName = BUNDLED
    stage1: TrainingSettings = TrainingSettings()
    stage2: TrainingSettings = TrainingSettings()
    workers: WorkerSettings = WorkerSettings()
    index: IndexSettings = IndexSettings()
    http: HttpSettings = HttpSettings()
    examples: ExampleSettings = ExampleSettings()
    benchmark: BenchmarkSettings | None = None
    output: Folder

    @model_validator(mode="after")
    def _notes_from_one_place(self) -> "PipelineSettings":
        if (self.hospital is None) == (self.notes is None):
            raise ValueError("give either notes or hospital")
        if self.hospital is None and self.benchmark is None:
            raise ValueError("give benchmark.path; only a hospital brings its own benchmark")
        return self


class Folders:
    """What the pipeline writes under `output.path`."""

    def __init__(self, root: Path) -> None:
        self.hospital = root / "hospital"
        self.store = root / "store"
        self.graph = root / "graph"
        self.stage1_records = root / "stage1_records"
        self.stage2_records = root / "stage2_records"
        self.stage1_encoder = root / "stage1_encoder"
        self.encoder = root / "encoder"
        self.release = root / "release"
        self.vectors = root / "vectors"
        self.evaluation = root / "evaluation"


def run(settings: PipelineSettings) -> None:
    folders = Folders(settings.output.path)
    notes, guard, benchmark = settings.notes, settings.guard, settings.benchmark
    require_free_port(settings.http)
    if is_running():
        raise ValueError("a search service runs on this cluster, which the pipeline would replace; stop it first")
    require(
        base=encoder_path(settings.base),
        benchmark__path=benchmark.path if benchmark else None,
        guard__patients=guard.patients,
        guard__ids=guard.ids,
        guard__benchmark=guard.benchmark,
        guard__terms=guard.terms,
        **{f"graph__sources__{i}__path": source.path for i, source in enumerate(settings.graph.sources)},
    )
    if settings.hospital:
        generate_hospital.run(
            GenerateHospitalSettings(
                hospital=settings.hospital, chunking=settings.chunking, output=Folder(path=folders.hospital)
            )
        )
        truth = folders.hospital / "benchmark"
        notes = NotesSettings(path=str(folders.hospital / "notes"), format="parquet")
        guard = guard.model_copy(update={"patients": truth / "patients.txt", "terms": truth / "held_out_terms.txt"})
        benchmark = benchmark or BenchmarkSettings(path=truth)
    assert notes
    assert benchmark

    prepare_corpus.run(PrepareCorpusSettings(notes=notes, chunking=settings.chunking, store=Folder(path=folders.store)))
    sources = {
        "store": Folder(path=folders.store),
        "graph": settings.graph,
        "built_graph": Folder(path=folders.graph),
        "guard": guard,
    }
    match_entities.run(
        MatchEntitiesSettings.model_validate(
            {**sources, **dict(stage1_settings(settings)), "output": {"path": folders.stage1_records}}
        )
    )
    generate_entities.run(
        GenerateEntitiesSettings.model_validate(
            {**sources, "annotator": settings.annotator, "output": {"path": folders.stage2_records}}
        )
    )
    for base, records, training, output in (
        (settings.base, folders.stage1_records, settings.stage1, folders.stage1_encoder),
        (str(folders.stage1_encoder), folders.stage2_records, settings.stage2, folders.encoder),
    ):
        train_encoder.run(
            TrainEncoderSettings(
                base=base,
                records=Folder(path=records),
                training=training,
                workers=settings.workers,
                built_graph=Folder(path=folders.graph),
                output=Folder(path=output),
            )
        )
    build_index.run(
        BuildIndexSettings(
            store=Folder(path=folders.store),
            encoder=str(folders.encoder),
            workers=settings.workers,
            index=settings.index,
            built_graph=Folder(path=folders.graph),
            output=Folder(path=folders.release),
        )
    )
    service = ServeSettings(release=ReleaseSettings(path=folders.release), http=settings.http)
    require_room("the service", reserved(service))
    url = deploy(service)
    print(f"serve: release {folders.release} answers at {url}", flush=True)
    try:
        labels = {
            "bm25": "BM25",
            f"dense:{settings.base}": "base encoder",
            f"dense:{folders.encoder}": "trained encoder",
            f"hybrid:{folders.encoder}": "hybrid",
        }
        evaluate.run(
            EvaluateJobSettings.model_validate(
                {
                    "benchmark": benchmark,
                    "retrievers": list(labels),
                    "workers": settings.workers,
                    "vectors": {"path": folders.vectors},
                    "output": {"path": folders.evaluation},
                }
            ),
            labels,
        )
        show_example_searches(url, settings.examples)
    finally:
        shutdown()
    _say_where(settings, folders)


def _say_where(settings: PipelineSettings, folders: Folders) -> None:
    print(
        f"""
Written to {settings.output.path.resolve()}:
  store/            notes and chunks (Lance), vectors of the trained encoder
  stage1_records/   training records of matched and expanded terms, and stage2_records/ of annotated ones
  encoder/          the trained encoder; plain sentence-transformers loads it
  release/          the search index, {settings.index.shards} shards
  evaluation/       metrics.json, report.html, TREC run files

Next, to search it yourself:
  python -m ray_jobs.serve --config recipes/serve.yaml --set release.path={folders.release}
  then open http://{settings.http.host}:{settings.http.port}/docs"""
    )


if __name__ == "__main__":
    main(PipelineSettings, run)
