"""Notes to the store: read note files, set bad rows aside, cut notes into chunks, commit both to Lance."""

from pydantic import BaseModel

from corpus.chunking import ChunkingSettings
from corpus.corpus_file import CorpusFileSettings, write_corpus_file
from corpus.errors import describe, warnings
from corpus.prepare import prepare_corpus
from corpus.settings import NotesSettings
from corpus.store import Store
from ray_jobs.job import Folder, main, require
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step


class PrepareCorpusSettings(BaseModel):
    notes: NotesSettings
    chunking: ChunkingSettings = ChunkingSettings()
    store: Folder
    corpus_file: CorpusFileSettings | None = None
    """Also write chunks as a benchmark's corpus.jsonl."""


def run(settings: PrepareCorpusSettings) -> None:
    notes, store, file = settings.notes, settings.store.path, settings.corpus_file
    require(corpus_file__note_ids=file.note_ids if file else None)
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
    if file:
        print(f"corpus_file: {write_corpus_file(Store(store), file):,} chunks in {file.path}")


if __name__ == "__main__":
    main(PrepareCorpusSettings, run)
