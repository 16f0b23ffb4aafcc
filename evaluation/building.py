"""A benchmark of one's own: candidates pooled from retrievers for each query, and the folder once they are judged."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evaluation.benchmark import Benchmark
from evaluation.ranking import UNKNOWN
from evaluation.retrievers import Bench


class Judged(NamedTuple):
    """The grade of a (query, chunk) pair; match type and evidence are empty for grade 0."""

    query_id: str
    chunk_id: str
    grade: int
    match_type: str
    evidence: str


def pool(bench: Bench, retrievers: Iterable[str], depth: int) -> list[tuple[int, int]]:
    """The (query, chunk) positions that any retriever ranks among its first `depth`, sorted."""
    pairs: set[tuple[int, int]] = set()
    for spec in retrievers:
        retriever, queries = bench.retriever(spec), len(bench.benchmark.query_ids)
        for query in range(queries):
            (hits,) = retriever.hits([query])
            known = hits.documents[hits.documents != UNKNOWN]
            pairs.update((query, int(chunk)) for chunk in known[:depth])
            bench.count(f"{spec}: queries ranked", 1, queries)
    return sorted(pairs)


def write_benchmark(folder: Path, benchmark: Benchmark, patients: Sequence[str], judged: Iterable[Judged]) -> None:
    """Write corpus.jsonl, queries.jsonl, qrels.tsv and match_types.tsv; `patients` are those of the chunks."""
    chunks = zip(benchmark.chunk_ids, benchmark.chunk_texts, benchmark.note_ids, patients, strict=True)
    queries = zip(benchmark.query_ids, benchmark.query_texts, benchmark.query_types, strict=True)
    for name, keys, rows in (
        ("corpus.jsonl", ("_id", "text", "note_id", "patient_id"), chunks),
        ("queries.jsonl", ("_id", "text", "type"), queries),
    ):
        lines = (json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
        (folder / name).write_text("".join(lines), "utf-8")
    qrels, types = ["query-id\tcorpus-id\tscore"], ["query-id\tcorpus-id\tmatch_type\tevidence"]
    for each in judged:
        qrels.append(f"{each.query_id}\t{each.chunk_id}\t{each.grade}")
        if each.grade:
            types.append(f"{each.query_id}\t{each.chunk_id}\t{each.match_type}\t{' '.join(each.evidence.split())}")
    (folder / "qrels.tsv").write_text("\n".join(qrels) + "\n", "utf-8")
    (folder / "match_types.tsv").write_text("\n".join(types) + "\n", "utf-8")
