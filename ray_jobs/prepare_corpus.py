"""Notes to the store: read note files, set bad rows aside, cut notes into chunks, commit both to Lance."""

from pydantic import BaseModel

from corpus.chunking import ChunkingSettings
from corpus.prepare import ERRORS_FILE, NotesSettings, describe, prepare_corpus, read_errors
from corpus.sources import BROKEN_OFF
from ray_jobs.job import Folder, main
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class PrepareCorpusSettings(BaseModel):
    notes: NotesSettings
    chunking: ChunkingSettings = ChunkingSettings()
    store: Folder


def run(settings: PrepareCorpusSettings) -> None:
    files = settings.notes.files()
    result = run_step(
        "prepare_corpus",
        settings.store.path,
        {"notes": settings.notes.model_dump(exclude={"path"}), "chunking": settings.chunking},
        {f"notes[{i}]": file for i, file in enumerate(files)},
        lambda step: prepare_corpus(settings.notes, settings.chunking, step.folder, Progress()),
    )
    if result["bad_rows"]:
        errors = read_errors(settings.store.path)
        for broken in (error for error in errors if error["reason"] == BROKEN_OFF):
            print(f"WARNING: {broken['file']} breaks off at row {broken['row']}; what follows it was not read")
        print(f"bad rows left out (all in {settings.store.path / ERRORS_FILE}): {describe(errors)}")


if __name__ == "__main__":
    main(PrepareCorpusSettings, run)
