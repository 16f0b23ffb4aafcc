"""The built knowledge graph that stage 1 and stage 2 share: made by whichever job needs it first."""

from pathlib import Path

from datagen.graph.artefact import build_graph
from datagen.graph.settings import GraphSettings
from ray_jobs.steps import Step, run_step


def built_graph(settings: GraphSettings, output: Path) -> Path:
    """The folder of the built graph, made there unless it is up to date."""

    def build(step: Step) -> dict[str, int]:
        graph = settings.read()
        build_graph(graph, step.folder / "built")
        return {"concepts": graph.concepts.num_rows, "terms": graph.terms.num_rows}

    run_step(
        "build_graph",
        output,
        {"formats": [source.format for source in settings.sources]},
        {f"sources[{i}]": source.path or source.format for i, source in enumerate(settings.sources)},
        build,
    )
    return output / "built"
