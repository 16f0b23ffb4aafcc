"""TREC qrels, `query-id 0 document-id grade` a line: a file alone, or qrels.txt beside corpus.jsonl and queries.jsonl.

From the file alone only run files can be scored: it tells no texts.
"""

from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import Pairs, find, lines, positions, read_grade, read_records

FIELDS = 4


def read(path: Path) -> Benchmark:
    """Raises ValueError naming file and row."""
    qrels = find(path, "qrels.txt") if path.is_dir() else path
    rows = [(row, *_fields(qrels, row, line)) for row, line in lines(qrels)]
    if path.is_dir():
        chunks, queries = (read_records(find(path, f"{name}.jsonl"), ("text",)) for name in ("corpus", "queries"))
    else:
        chunks = {document: {"text": ""} for _, _, document, _ in rows}
        queries = {query: {"text": ""} for _, query, _, _ in rows}
    pairs = Pairs(qrels, positions(queries), positions(chunks))
    judgements = [
        Judgement(*pair, grade=grade)
        for row, query, document, grade in rows
        if grade > 0 and (pair := pairs.check(row, query, document))
    ]
    if not judgements:
        raise ValueError(f"{qrels}: no relevant pair")
    return benchmark_of(path.resolve().stem, chunks, queries, judgements)


def _fields(path: Path, row: int, line: str) -> tuple[str, str, int]:
    fields = line.split()
    if len(fields) != FIELDS:
        raise ValueError(f"{path} row {row}: {len(fields)} fields, TREC qrels have {FIELDS}")
    return fields[0], fields[2], read_grade(path, row, fields[3])
