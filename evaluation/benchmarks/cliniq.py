"""CliniQ as published (arXiv 2502.06252), with the corpus that `prepare_corpus` builds from MIMIC-III.

queries_<type>.jsonl  {"_id", "text"} a line, for disease, procedure and drug
qrels_<type>.tsv      no header: query id, `<HADM_ID>_<i>`, match type
test_hadm_ids.txt     the admissions of the corpus, one a line
corpus.jsonl          {"_id", "text"} a line
"""

from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import Pairs, find, lines, positions, read_records, read_table

TYPES = ("disease", "procedure", "drug")
MATCH_TYPES = ("string", "synonym", "abbreviation", "hyponym", "implication")


def read(folder: Path) -> Benchmark:
    """Chunks of notes that are not in test_hadm_ids.txt are left out. Raises ValueError naming file and row."""
    path = find(folder, "corpus.jsonl")
    wanted = {line.strip() for _, line in lines(find(folder, "test_hadm_ids.txt"))}
    chunks = {
        _id: each | {"note_id": note}
        for _id, each in read_records(path, ("text",)).items()
        if (note := _id.rpartition("_")[0]) in wanted
    }
    if missing := wanted - {chunk["note_id"] for chunk in chunks.values()}:
        raise ValueError(
            f"{path}: no chunk of {len(missing)} of the {len(wanted)} notes of test_hadm_ids.txt, as {min(missing)}"
        )
    queries: dict[str, dict[str, str]] = {}
    for kind in TYPES:
        path = find(folder, f"queries_{kind}.jsonl")
        of_kind = read_records(path, ("text",))
        if twice := set(of_kind) & set(queries):
            first = min(twice)
            raise ValueError(f"{path}: _id {first} stands in queries_{queries[first]['type']}.jsonl too")
        queries |= {_id: each | {"type": kind} for _id, each in of_kind.items()}
    query_at, chunk_at, judgements = positions(queries), positions(chunks), []
    for kind in TYPES:
        path = find(folder, f"qrels_{kind}.tsv")
        pairs = Pairs(path, query_at, chunk_at)
        for row, (query, chunk, match_type) in read_table(path, ("query", "chunk", "match type"), has_header=False):
            if match_type not in MATCH_TYPES:
                raise ValueError(f"{path} row {row}: the match type is none of {', '.join(MATCH_TYPES)}")
            judgements.append(Judgement(*pairs.check(row, query, chunk), match_type))
    if not judgements:
        raise ValueError(f"{folder}: no relevant pair in any qrels_<type>.tsv")
    return benchmark_of(folder.resolve().name, chunks, queries, judgements)
