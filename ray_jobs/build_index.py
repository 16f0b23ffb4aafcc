"""Encode every chunk of the store on Ray Data and write a release: FAISS shards over patient buckets."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import ray
from pydantic import BaseModel, Field

from corpus.store import Store
from encoders.corpus_encoding import encode_corpus
from encoders.encoder import Encoder
from encoders.spec import BUNDLED
from encoders.workers import WorkerSettings
from ray_jobs.job import EncoderName, Folder, encoder_path, main, require
from ray_jobs.progress import Progress
from ray_jobs.steps import Step, run_step
from serving.release import build_release


class IndexSettings(BaseModel):
    """How an index is cut."""

    shards: int = Field(default=2, gt=0)


class BuildIndexSettings(BaseModel):
    store: Folder
    encoder: EncoderName = BUNDLED
    workers: WorkerSettings = WorkerSettings()
    index: IndexSettings = IndexSettings()
    output: Folder


def run(settings: BuildIndexSettings) -> None:
    require(store__path=settings.store.path, encoder=encoder_path(settings.encoder))

    def build(step: Step) -> dict[str, int]:
        store = Store(settings.store.path)
        encoder = Encoder.load(settings.encoder)
        store.write_vectors(encoder.fingerprint, encoder.spec.dimension, _vectors(store, settings))
        build_release(store.folder, encoder.fingerprint, settings.encoder, step.folder, settings.index.shards)
        return {"chunks": store.chunks().count_rows(), "shards": settings.index.shards}

    run_step(
        "build_index",
        settings.output.path,
        {"index": settings.index},
        {"store": settings.store.path, "encoder": settings.encoder},
        build,
    )


def _vectors(store: Store, settings: BuildIndexSettings) -> Iterator[pa.RecordBatch]:
    progress = Progress()
    total = store.chunks().count_rows()
    chunks = ray.data.read_lance(str(store.chunks_path), columns=["chunk_id", "version", "text"])
    for table in encode_corpus(chunks, partial(Encoder.load, settings.encoder), settings.workers):
        progress("chunks encoded", len(table), total)
        yield from table.to_batches()


if __name__ == "__main__":
    main(BuildIndexSettings, run)
