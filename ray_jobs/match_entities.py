"""Stage 1: match the terms of a knowledge graph in every chunk, expand them, write DR.EHR's training records."""

from datagen.expansion import ExpansionSettings
from datagen.record_files import match_entities
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, run_record_step


class MatchEntitiesSettings(RecordJobSettings):
    expansion: ExpansionSettings = ExpansionSettings()


def run(settings: MatchEntitiesSettings) -> None:
    run_record_step(
        "match_entities",
        settings,
        {"expansion": settings.expansion},
        lambda store, graph, guard, folder: match_entities(store, graph, settings.expansion, guard, folder, Progress()),
    )


if __name__ == "__main__":
    main(MatchEntitiesSettings, run)
