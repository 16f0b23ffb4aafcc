"""Notes to the store: read note files, set bad rows aside, cut notes into chunks, commit both to Lance."""

from pydantic import BaseModel

from corpus.chunking import ChunkingSettings
from corpus.prepare import ERRORS_FILE, describe, prepare_corpus, read_errors
from corpus.settings import NotesSettings
from corpus.sources import BROKEN_OFF
from ray_jobs.job import Folder, main
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class PrepareCorpusSettings(BaseModel):
    notes: NotesSettings
    chunking: ChunkingSettings = ChunkingSettings()
    store: Folder


def run(settings: PrepareCorpusSettings) -> None:
    notes, store = settings.notes, settings.store.path
    result = run_step(
        "prepare_corpus",
        store,
        {"notes": notes.model_dump(exclude={"path"}), "chunking": settings.chunking},
        {"notes": notes.fingerprint(notes.files())},
        lambda step: prepare_corpus(notes, settings.chunking, step.folder, Progress()),
    )
    if result["bad_rows"]:
        for broken in (error for error in read_errors(store) if error["reason"] == BROKEN_OFF):
            print(f"WARNING: {broken['file']} breaks off at row {broken['row']}; what follows it was not read")
        print(f"bad rows left out (all in {store / ERRORS_FILE}): {describe(store, result['bad_rows'])}")


if __name__ == "__main__":
    main(PrepareCorpusSettings, run)
