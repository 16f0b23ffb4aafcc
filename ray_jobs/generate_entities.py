"""Stage 2: an annotator lists what every chunk states or implies; written as DR.EHR's training records."""

from pydantic import BaseModel

from corpus.store import Store
from datagen.annotators.base import AnnotatorSettings
from datagen.graph.settings import GraphSettings
from datagen.guard import Guard, GuardSettings
from datagen.record_files import generate_entities
from ray_jobs.graph import built_graph
from ray_jobs.job import Folder, main
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class GenerateEntitiesSettings(BaseModel):
    store: Folder
    graph: GraphSettings = GraphSettings()
    built_graph: Folder
    """Where the built form of the graph is kept; jobs that name the same folder share it."""
    annotator: AnnotatorSettings = AnnotatorSettings()
    guard: GuardSettings = GuardSettings()
    output: Folder


def run(settings: GenerateEntitiesSettings) -> None:
    graph = built_graph(settings.graph, settings.built_graph.path)
    run_step(
        "generate_entities",
        settings.output.path,
        {"annotator": settings.annotator, "min_words": settings.guard.min_words},
        {"store": settings.store.path, "graph": settings.built_graph.path, **settings.guard.files()},
        lambda step: generate_entities(
            Store(settings.store.path), graph, settings.annotator, Guard(settings.guard), step.folder, Progress()
        ),
    )


if __name__ == "__main__":
    main(GenerateEntitiesSettings, run)
