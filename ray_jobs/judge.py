"""A benchmark from a site's own notes: a language model grades pooled (query, chunk) pairs, as CliniQ was built."""

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import Field, field_validator

from corpus.store import Store
from datagen.generation.answer_files import ANSWERS, ERRORS, failed_calls
from datagen.generation.asking import read_usage
from datagen.generation.calls import CALL_SCHEMA, pair_calls
from datagen.generation.rounds import WriteCalls
from datagen.generation.settings import AskSettings
from datagen.report import SAMPLES, write_answers_report
from datagen.tasks import load_task
from encoders.corpus_encoding import encode_on
from encoders.kept_vectors import KeptVectors
from encoders.workers import WorkerSettings
from evaluation.benchmark import Benchmark, benchmark_of
from evaluation.benchmarks.files import read_records
from evaluation.building import Judged, pool, write_benchmark
from evaluation.retrievers import Bench, input_of, parse_retriever
from evaluation.retrievers.expanded import Expanded
from ray_jobs.answers import run_ask_step
from ray_jobs.job import Folder, main, require
from ray_jobs.progress import Progress
from ray_jobs.steps import run_step

MOST_CHUNKS = 200_000
"""All of them are scored for every query, in memory."""


class JudgeSettings(AskSettings):
    store: Folder
    """The notes of the benchmark: all its chunks are ranked."""
    queries: Folder
    """A file in the form of a benchmark's queries.jsonl: _id, text, type."""
    pool: list[str] = Field(default=["bm25", "dense:bundled"], min_length=1)
    """Retrievers, as the job evaluate names them, whose best chunks are judged."""
    depth: int = Field(default=20, ge=1)
    workers: WorkerSettings = WorkerSettings()
    vectors: Folder = Folder(path=Path("runs/vectors"))
    """Where vectors of chunks are kept from one run to the next."""
    only_errors: bool = False
    """Ask again about the failed calls of a finished output, and about no others."""
    output: Folder

    @field_validator("pool")
    @classmethod
    def _known(cls, specs: list[str]) -> list[str]:
        for spec in specs:
            if parse_retriever(spec)[0] is Expanded:
                raise ValueError(f"{spec}: this job expands no queries; name the retriever inside")
        return specs


def run(settings: JudgeSettings) -> None:
    """Raises ValueError for a store of more chunks than can be ranked in memory."""
    require(store__path=settings.store.path, queries__path=settings.queries.path)
    store, output = Store(settings.store.path), settings.output.path
    if (chunks := store.chunks().count_rows()) > MOST_CHUNKS:
        raise ValueError(
            f"{store.folder}: {chunks:,} chunks, more than the {MOST_CHUNKS:,} that are ranked for a benchmark; "
            "prepare a store of some thousand notes"
        )
    named: dict[str, Path | str] = {"store": store.folder, "queries": settings.queries.path}
    named |= {name: name for each in settings.pool if (name := input_of(each))}

    def calls(earlier: Path | None) -> WriteCalls:
        return partial(_write_calls, settings, failed_calls(earlier / ANSWERS) if earlier else None)

    own = {"pool": settings.pool, "depth": settings.depth}
    answers = run_ask_step(output, "judge", settings, own, named, calls, settings.only_errors)
    run_step("judge", output, own, {**named, "answers": answers}, lambda step: _build(settings, answers, step.folder))


def _read(settings: JudgeSettings) -> tuple[Benchmark, list[str]]:
    """The benchmark without judgements, and the patients of its chunks."""
    columns = ["chunk_id", "text", "note_id", "patient_id"]
    rows = Store(settings.store.path).chunks().to_table(columns=columns).to_pylist()
    queries = read_records(settings.queries.path, ("text", "type"))
    benchmark = benchmark_of(settings.output.path.name, {row["chunk_id"]: row for row in rows}, queries, ())
    return benchmark, [row["patient_id"] for row in rows]


def _write_calls(settings: JudgeSettings, only: frozenset[str] | None, folder: Path) -> None:
    calls = pair_calls(load_task("judge"), _pairs(_read(settings)[0], settings))
    wanted = [call for call in calls if only is None or call["call_id"] in only]
    pq.write_table(pa.Table.from_pylist(wanted, schema=CALL_SCHEMA), folder / "calls.parquet")


def _build(settings: JudgeSettings, answers: Path, folder: Path) -> dict[str, int]:
    benchmark, patients = _read(settings)
    texts = dict(zip(benchmark.chunk_ids, benchmark.chunk_texts, strict=True))
    judged = list(_judged(answers, texts))
    write_benchmark(folder, benchmark, patients, judged)
    shutil.copy(answers / ERRORS, folder)
    asked, usage = read_usage(answers)
    counts = {"queries": len(benchmark.query_ids), "chunks": len(texts), **asked}
    counts |= {f"grade_{grade}": sum(each.grade == grade for each in judged) for grade in range(3)}
    counts["evidence_not_found"] = sum(each.grade > 0 and not each.evidence for each in judged)
    queries = dict(zip(benchmark.query_ids, benchmark.query_texts, strict=True))
    samples = {
        each.chunk_id: [{"query": queries[each.query_id], **each._asdict()}]
        for each in sorted(judged, key=lambda each: xxhash.xxh32_intdigest(each.chunk_id.encode()))[:SAMPLES]
    }
    write_answers_report(counts, usage, "judge", samples, texts, folder)
    return counts


def _pairs(benchmark: Benchmark, settings: JudgeSettings) -> Iterator[tuple[str, str, str, str]]:
    count = Progress()
    vectors = KeptVectors(settings.vectors.path, encode_on(settings.workers, count))
    bench = Bench(benchmark, lambda line: print(f"  {line}", flush=True), count, vectors)
    for query, chunk in pool(bench, settings.pool, settings.depth):
        yield (
            benchmark.query_ids[query],
            benchmark.query_texts[query],
            benchmark.chunk_ids[chunk],
            benchmark.chunk_texts[chunk],
        )


def _judged(answers: Path, texts: Mapping[str, str]) -> Iterator[Judged]:
    """The grades, by query and chunk; evidence that does not stand in the chunk is left out."""
    columns = ["query_id", "chunk_id", "items"]
    table = lance.dataset(answers / ANSWERS).to_table(columns=columns, filter="status = 'ok'")
    for row in table.sort_by([("query_id", "ascending"), ("chunk_id", "ascending")]).to_pylist():
        (item,) = json.loads(row["items"])
        evidence = item["evidence"] if item["evidence"].lower() in texts[row["chunk_id"]].lower() else ""
        yield Judged(row["query_id"], row["chunk_id"], item["grade"], item["match_type"] or "", evidence)


if __name__ == "__main__":
    main(JudgeSettings, run)
