"""Stage 1: match the terms of a knowledge graph in every chunk, expand them, write DR.EHR's training records."""

from pydantic import BaseModel

from corpus.store import Store
from datagen.expansion import ExpansionSettings
from datagen.graph.settings import GraphSettings
from datagen.guard import Guard, GuardSettings
from datagen.record_files import match_entities
from ray_jobs.graph import built_graph
from ray_jobs.job import Folder, main
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class MatchEntitiesSettings(BaseModel):
    store: Folder
    graph: GraphSettings = GraphSettings()
    built_graph: Folder
    """Where the built form of the graph is kept; jobs that name the same folder share it."""
    expansion: ExpansionSettings = ExpansionSettings()
    guard: GuardSettings = GuardSettings()
    output: Folder


def run(settings: MatchEntitiesSettings) -> None:
    graph = built_graph(settings.graph, settings.built_graph.path)
    run_step(
        "match_entities",
        settings.output.path,
        {"expansion": settings.expansion, "min_words": settings.guard.min_words},
        {"store": settings.store.path, "graph": settings.built_graph.path, **settings.guard.files()},
        lambda step: match_entities(
            Store(settings.store.path), graph, settings.expansion, Guard(settings.guard), step.folder, Progress()
        ),
    )


if __name__ == "__main__":
    main(MatchEntitiesSettings, run)
