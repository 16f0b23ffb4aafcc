"""A benchmark from a site's own notes: a language model grades pooled (query, chunk) pairs, as CliniQ was built."""

import json
from collections.abc import Iterator
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from corpus.store import Store
from datagen.generation.answer_files import ANSWERS, failed_calls
from datagen.generation.asking import Place, ask
from datagen.generation.calls import CALL_SCHEMA, pair_calls
from datagen.generation.settings import AskSettings
from datagen.tasks import load_task
from evaluation.benchmark import Benchmark, read_queries
from evaluation.building import Judged, pool, unjudged, write_benchmark
from ray_jobs.job import Folder, main, require
from ray_jobs.progress import Progress
from ray_jobs.steps import Step, run_step


class JudgeSettings(AskSettings):
    store: Folder
    """The notes of the benchmark: all its chunks are ranked."""
    queries: Folder
    """A file in the form of a benchmark's queries.jsonl: _id, text, type."""
    pool: list[str] = Field(default=["bm25", "dense:bundled"], min_length=1)
    """Retrievers, as the job evaluate names them, whose best chunks are judged."""
    depth: int = Field(default=20, ge=1)
    only_errors: bool = False
    """Ask again about the failed calls of a finished output, and about no others."""
    output: Folder


def run(settings: JudgeSettings) -> None:
    require(store__path=settings.store.path, queries__path=settings.queries.path)
    asking = AskSettings.model_validate({name: getattr(settings, name) for name in AskSettings.model_fields})
    encoders = {encoder for name in settings.pool if (encoder := name.partition(":")[2])}
    run_step(
        "judge",
        settings.output.path,
        {"asking": asking.identity(), "pool": settings.pool, "depth": settings.depth},
        {"store": settings.store.path, "queries": settings.queries.path, **{name: name for name in encoders}},
        lambda step: _judge(settings, asking, step),
        mend=settings.only_errors,
    )


def _judge(settings: JudgeSettings, asking: AskSettings, step: Step) -> dict[str, int]:
    chunks = Store(settings.store.path).chunks().to_table(columns=["chunk_id", "text", "note_id", "patient_id"])
    rows = chunks.to_pylist()
    benchmark = unjudged(settings.output.path.name, rows, read_queries(settings.queries.path))
    task, place = load_task("judge"), Place(*step)

    def write_calls(folder: Path) -> None:
        calls = pair_calls(task, _pairs(benchmark, settings))
        if place.earlier:
            failed = failed_calls(place.earlier / ANSWERS)
            calls = (call for call in calls if call["call_id"] in failed)
        pq.write_table(pa.Table.from_pylist(list(calls), schema=CALL_SCHEMA), folder / "calls.parquet")

    asked = ask(task, asking, write_calls, place, Progress())
    write_benchmark(step.folder, benchmark, [row["patient_id"] for row in rows], _judged(step.folder, benchmark))
    return {"queries": len(benchmark.query_ids), "chunks": len(rows), **asked.counts}


def _pairs(benchmark: Benchmark, settings: JudgeSettings) -> Iterator[tuple[str, str, str, str]]:
    for query, chunk in pool(benchmark, settings.pool, settings.depth, lambda line: print(f"  {line}", flush=True)):
        yield (
            benchmark.query_ids[query],
            benchmark.query_texts[query],
            benchmark.chunk_ids[chunk],
            benchmark.chunk_texts[chunk],
        )


def _judged(folder: Path, benchmark: Benchmark) -> Iterator[Judged]:
    """The grades, by query and chunk; evidence that does not stand in the chunk is left out."""
    texts = dict(zip(benchmark.chunk_ids, benchmark.chunk_texts, strict=True))
    columns = ["query_id", "chunk_id", "items"]
    answers = lance.dataset(folder / ANSWERS).to_table(columns=columns, filter="status = 'ok'")
    for row in answers.sort_by([("query_id", "ascending"), ("chunk_id", "ascending")]).to_pylist():
        (item,) = json.loads(row["items"])
        evidence = item["evidence"] if item["evidence"].lower() in texts[row["chunk_id"]].lower() else ""
        yield Judged(row["query_id"], row["chunk_id"], item["grade"], item["match_type"] or "", evidence)


if __name__ == "__main__":
    main(JudgeSettings, run)
