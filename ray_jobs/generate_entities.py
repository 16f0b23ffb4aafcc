"""Stage 2: an annotator lists what every chunk states or implies; written as DR.EHR's training records."""

from datagen.annotators.base import AnnotatorSettings
from datagen.record_files import generate_entities
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, run_record_step


class GenerateEntitiesSettings(RecordJobSettings):
    annotator: AnnotatorSettings = AnnotatorSettings()


def run(settings: GenerateEntitiesSettings) -> None:
    run_record_step(
        "generate_entities",
        settings,
        {"annotator": settings.annotator},
        {},
        lambda store, graph, guard, folder: generate_entities(
            store, graph, settings.annotator, guard, folder, Progress()
        ),
    )


if __name__ == "__main__":
    main(GenerateEntitiesSettings, run)
