"""Stage 2: an annotator lists what every chunk states or implies; written as DR.EHR's training records."""

from datagen.annotators.settings import AnnotatorSettings, RuleSettings
from datagen.record_files import generate_entities
from ray_jobs.answers import run_ask_about_notes
from ray_jobs.job import main
from ray_jobs.progress import Progress
from ray_jobs.records import RecordJobSettings, require_inputs, run_record_step


class GenerateEntitiesSettings(RecordJobSettings):
    annotator: AnnotatorSettings = RuleSettings()
    only_errors: bool = False
    """Ask a language model again about the failed calls of a finished output, and about no others."""


def run(settings: GenerateEntitiesSettings) -> None:
    annotator, store, output = settings.annotator, settings.store.path, settings.output.path
    require_inputs(settings)
    answers = None
    if not isinstance(annotator, RuleSettings):
        answers = run_ask_about_notes(
            output, store, annotator.task, annotator, annotator.votes, settings.guard, settings.only_errors
        )
    elif settings.only_errors:
        raise ValueError("only_errors: rules leave no failed calls; it is for annotator.kind llm")
    run_record_step(
        "generate_entities",
        settings,
        {"annotator": annotator.kind},
        {"answers": answers} if answers else {},
        lambda store, graph, guard, folder: generate_entities(store, graph, answers, guard, folder, Progress()),
    )


if __name__ == "__main__":
    main(GenerateEntitiesSettings, run)
