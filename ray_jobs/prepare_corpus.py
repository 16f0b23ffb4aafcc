"""Notes to the store: read note files, set bad rows aside, cut notes into chunks, commit both to Lance."""

from pydantic import BaseModel

from corpus.chunking import ChunkingSettings
from corpus.errors import describe, warnings
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
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
        for warning in warnings(store, notes):
            print(f"WARNING: {warning}")
        print(f"bad rows left out: {describe(store, notes)}")


if __name__ == "__main__":
    main(PrepareCorpusSettings, run)
