"""The step that asks a model, apart from what is made of the answers: another graph or rule asks nothing again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from corpus.store import Store
from datagen.engines.vllm import VllmSettings, reserved
from datagen.generation.asking import ask, note_calls
from datagen.generation.rounds import WriteCalls
from datagen.generation.settings import AskSettings
from datagen.guard import Guard, GuardSettings
from datagen.tasks import load_task
from ray_jobs.progress import Progress
from ray_jobs.room import require_room
from ray_jobs.steps import Step, package_data, run_step


def run_ask_step(
    output: Path,
    task_name: str,
    asking: AskSettings,
    settings: dict[str, Any],
    inputs: dict[str, Path | str],
    calls: Callable[[Path | None], WriteCalls],
    only_errors: bool,
) -> Path:
    """Ask, unless that is up to date, into `<output>_answers`, which is returned.

    `settings` and `inputs` are those of the calls. `calls` gives what writes them: all, or the failed ones of a
    finished folder. Raises ValueError for an unknown task.
    """
    task = load_task(task_name)
    folder = output.with_name(f"{output.name}_answers")

    def work(step: Step) -> dict[str, int]:
        if isinstance(asking.engine, VllmSettings):
            require_room("generation (annotator.engine)", reserved(asking.engine))
        return ask(task, asking, calls(step.earlier), step.folder, step.scratch, step.earlier, Progress())

    run_step(
        f"ask {task_name}",
        folder,
        {"asking": asking.identity(), **settings},
        {"task": package_data(f"datagen.tasks.{task_name}"), **inputs},
        work,
        mend=only_errors,
    )
    return folder


def run_ask_about_notes(
    output: Path, store: Path, task_name: str, asking: AskSettings, votes: int, guard: GuardSettings, only_errors: bool
) -> Path:
    """`run_ask_step` about the chunks that may be trained on."""

    def calls(earlier: Path | None) -> WriteCalls:
        notes = Guard(guard, graph=None)
        return note_calls(Store(store), load_task(task_name), votes, asking.share, notes, earlier)

    files: dict[str, Path | str] = {name: path for name, path in guard.files().items() if name != "guard.terms"}
    settings = {"votes": votes, "guard": guard.model_dump(include={"min_words", "overlap"})}
    return run_ask_step(output, task_name, asking, settings, {"store": store, **files}, calls, only_errors)
