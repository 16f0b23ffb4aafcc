"""Stage 2: an annotator lists what every chunk states or implies; written as DR.EHR's training records."""

from datagen.annotators.choice import AnnotatorSettings, RuleSettings
from datagen.generation.asking import Place
from datagen.record_files import generate_entities
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, run_record_step


class GenerateEntitiesSettings(RecordJobSettings):
    annotator: AnnotatorSettings = RuleSettings()
    only_errors: bool = False
    """Ask a language model again about the failed calls of a finished output, and about no others."""


def run(settings: GenerateEntitiesSettings) -> None:
    annotator = settings.annotator
    if settings.only_errors and isinstance(annotator, RuleSettings):
        raise ValueError("only_errors: rules leave no failed calls; it is for annotator.kind llm")
    run_record_step(
        "generate_entities",
        settings,
        {"annotator": annotator.identity()},
        {},
        lambda store, graph, guard, step: generate_entities(store, graph, annotator, guard, Place(*step), Progress()),
        mend=settings.only_errors,
    )


if __name__ == "__main__":
    main(GenerateEntitiesSettings, run)
