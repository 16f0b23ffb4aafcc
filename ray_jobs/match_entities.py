"""Stage 1: match the terms of a knowledge graph in every chunk, expand them, write DR.EHR's training records."""

from datagen.record_files import match_entities
from datagen.stage1 import Stage1Settings, stage1_settings
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, run_record_step


class MatchEntitiesSettings(RecordJobSettings, Stage1Settings):
    """Where things are, and how terms are matched and expanded."""


def run(settings: MatchEntitiesSettings) -> None:
    stage1 = stage1_settings(settings)
    run_record_step(
        "match_entities",
        settings,
        {"stage1": stage1.model_dump(exclude={"abbreviations": {"mined"}})},
        {"abbreviations.mined": mined} if (mined := stage1.abbreviations.mined) else {},
        lambda store, graph, guard, folder: match_entities(store, graph, stage1, guard, folder, Progress()),
    )


if __name__ == "__main__":
    main(MatchEntitiesSettings, run)
