"""Encode every chunk of the store on Ray Data and write a release: FAISS shards over patient buckets."""

from collections.abc import Iterable, Iterator
from functools import partial

import lance
import pyarrow as pa
import ray
from pydantic import BaseModel, Field

from corpus.store import Store
from datagen.graph.artefact import BuiltGraph
from datagen.synonyms import known_synonyms
from encoders.compiled import load_encoder
from encoders.corpus_encoding import BATCH_ROWS, encode_corpus
from encoders.kept_vectors import Load
from encoders.number_format import NumberFormat, vectors_name
from encoders.spec import BUNDLED
from encoders.workers import WorkerSettings
from ray_jobs.job import EncoderName, Folder, encoder_path, main, require
from ray_jobs.progress import Progress
from ray_jobs.room import require_workers
from ray_jobs.steps import Step, run_step
from serving.manifest import IndexKind
from serving.release import build_release, searchable_chunks

PART_CHUNKS = 50_000
"""Of one commit of vectors: what an interruption can cost."""


class IndexSettings(BaseModel):
    """How an index is cut."""

    shards: int = Field(default=2, gt=0)
    kind: IndexKind | None = None
    """None: exact where a shard has up to 50,000 rows, 4-bit codes with exact rescoring beyond."""
    number_format: NumberFormat = "fp32"
    """Of chunks and of the queries that the release answers."""


class BuildIndexSettings(BaseModel):
    store: Folder
    encoder: EncoderName = BUNDLED
    workers: WorkerSettings = WorkerSettings()
    index: IndexSettings = IndexSettings()
    built_graph: Folder | None = None
    """Searches with `expand` look for synonyms of this graph."""
    output: Folder


def run(settings: BuildIndexSettings) -> None:
    graph = settings.built_graph.path / "built" if settings.built_graph else None
    require(store__path=settings.store.path, encoder=encoder_path(settings.encoder), built_graph__path=graph)

    store = Store(settings.store.path)
    # What is written from here on is not lost: whoever serves the release follows the store from this version.
    chunks = searchable_chunks(store)

    def build(step: Step) -> dict[str, int]:
        index, workers = settings.index, settings.workers
        require_workers("encoding (workers)", workers)
        load = partial(
            load_encoder, settings.encoder, index.number_format, max(1, int(workers.cpus)), use_gpu=workers.use_gpu
        )
        encoder = load()
        name = vectors_name(encoder.fingerprint, index.number_format)
        store.begin_vectors(name, encoder.spec.dimension)
        _encode_missing(store, chunks, name, load, workers)
        synonyms = known_synonyms(BuiltGraph.open(graph)) if graph else None
        build_release(
            store,
            chunks,
            encoder.fingerprint,
            settings.encoder,
            encoder.encode_queries,
            step.folder,
            index.shards,
            index.kind,
            synonyms,
            index.number_format,
        )
        return {"chunks": chunks.count_rows(), "shards": index.shards}

    run_step(
        "build_index",
        settings.output.path,
        {"index": settings.index, "chunks": chunks.version, "store_id": store.id},
        {"store": settings.store.path, "encoder": settings.encoder, **({"graph": graph} if graph else {})},
        build,
    )


def _encode_missing(store: Store, chunks: lance.LanceDataset, name: str, load: Load, workers: WorkerSettings) -> None:
    """Encode what has no vector yet, a part at a time: an interrupted run goes on with the next part."""
    progress = Progress()
    total, batches = store.unencoded(name, chunks)
    for part in _parts(batches):
        texts = ray.data.from_arrow([part.slice(at, BATCH_ROWS) for at in range(0, len(part), BATCH_ROWS)])
        tables = []
        for table in encode_corpus(texts, load, workers):
            progress("chunks encoded", len(table), total)
            tables.append(table)
        store.add_vectors(name, pa.concat_tables(tables))


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= PART_CHUNKS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if sum(map(len, waiting)):
        yield pa.Table.from_batches(waiting)


if __name__ == "__main__":
    main(BuildIndexSettings, run)
