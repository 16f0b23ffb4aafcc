"""A language model's task on every chunk: abbreviations, questions or mentions, as JSON lines.

`abbreviations.jsonl` is what stage 1 takes as `abbreviations.mined`.
"""

from datagen.generation.annotations import annotate
from datagen.generation.asking import Place
from datagen.generation.settings import AskSettings
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, run_record_step


class AnnotateSettings(RecordJobSettings, AskSettings):
    task: str
    """The name of a folder of datagen/tasks."""
    only_errors: bool = False
    """Ask again about the failed calls of a finished output, and about no others."""


def run(settings: AnnotateSettings) -> None:
    asking = AskSettings.model_validate({name: getattr(settings, name) for name in AskSettings.model_fields})
    run_record_step(
        "annotate",
        settings,
        {"task": settings.task, "asking": asking.identity()},
        {},
        lambda store, graph, guard, step: annotate(store, settings.task, asking, guard, Place(*step), Progress()),
        mend=settings.only_errors,
    )


if __name__ == "__main__":
    main(AnnotateSettings, run)
