"""A language model's task on every chunk: abbreviations, questions or mentions, as JSON lines.

`abbreviations.jsonl` is what stage 1 takes as `abbreviations.mined`.
"""

from corpus.store import Store
from datagen.generation.annotations import write_annotations
from datagen.generation.settings import AskSettings
from datagen.guard import GuardSettings
from datagen.tasks import load_task
from ray_jobs.answers import run_ask_about_notes
from ray_jobs.job import Folder, main, require
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class AnnotateSettings(AskSettings):
    task: str
    """The name of a folder of datagen/tasks."""
    store: Folder
    guard: GuardSettings = GuardSettings()
    """`terms` has no say here."""
    only_errors: bool = False
    """Ask again about the failed calls of a finished output, and about no others."""
    output: Folder


def run(settings: AnnotateSettings) -> None:
    """Raises ValueError for an unknown task, or for one that reads a query beside the chunk."""
    store, task = settings.store.path, settings.task
    require(store__path=store, **{name.replace(".", "__"): path for name, path in settings.guard.files().items()})
    if load_task(task).needs_query:
        raise ValueError(f"task {task} reads a query beside each chunk: it has a job of its own, ray_jobs.{task}")
    answers = run_ask_about_notes(settings.output.path, store, task, settings, 1, settings.guard, settings.only_errors)
    run_step(
        "annotate",
        settings.output.path,
        {"task": task},
        {"answers": answers},
        lambda step: write_annotations(Store(store), task, answers, step.folder, Progress()),
    )


if __name__ == "__main__":
    main(AnnotateSettings, run)
