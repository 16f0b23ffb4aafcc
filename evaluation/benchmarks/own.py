"""This project's layout, which `judge` and `generate_hospital` write too.

corpus.jsonl(.gz)   {"_id", "text", "note_id", "patient_id"} a line, more keys are ignored
queries.jsonl(.gz)  {"_id", "text", "type"} a line, more keys are ignored
qrels.tsv           header query-id, corpus-id, score; a score of 0 means judged and not relevant
match_types.tsv     header query-id, corpus-id, match_type, evidence; one row for each relevant pair
"""

from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import Pairs, find, positions, read_qrels, read_records, read_table


def read(folder: Path) -> Benchmark:
    """Raises ValueError naming file and row."""
    chunks = read_records(find(folder, "corpus.jsonl"), ("text", "note_id"))
    queries = read_records(find(folder, "queries.jsonl"), ("text", "type"))
    query_at, chunk_at = positions(queries), positions(chunks)
    relevant = read_qrels(find(folder, "qrels.tsv"), query_at, chunk_at)
    judgements, path = [], find(folder, "match_types.tsv")
    pairs = Pairs(path, query_at, chunk_at)
    for row, (query, chunk, match_type, evidence) in read_table(
        path, ("query-id", "corpus-id", "match_type", "evidence")
    ):
        pair = pairs.check(row, query, chunk)
        grade = relevant.pop(pair, None)
        if grade is None:
            raise ValueError(f"{path} row {row}: this pair is not relevant in qrels.tsv")
        judgements.append(Judgement(*pair, match_type, evidence, grade))
    for query_position, chunk_position in relevant:
        query, chunk = list(queries)[query_position], list(chunks)[chunk_position]
        raise ValueError(f"{path}: no row for query {query} and chunk {chunk}, which are relevant in qrels.tsv")
    return benchmark_of(folder.resolve().name, chunks, queries, judgements)
