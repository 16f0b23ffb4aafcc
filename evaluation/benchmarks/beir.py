"""The layout of BEIR (Thakur et al., arXiv 2104.08663): corpus.jsonl, queries.jsonl, qrels/<split>.tsv."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmark import Benchmark, Judgement, benchmark_of
from evaluation.benchmarks.files import find, positions, read_qrels, read_records

SPLIT = "test"


def read(folder: Path) -> Benchmark:
    """Title and text are one passage, as BEIR's own models take them; either may be empty.

    Raises ValueError naming file and row.
    """
    return read_files(
        folder.resolve().name,
        find(folder, "corpus.jsonl"),
        find(folder, "queries.jsonl"),
        find(folder / "qrels", f"{SPLIT}.tsv"),
    )


def read_files(
    name: str, corpus: Path, queries: Path, qrels: Path, measures: Sequence[str] = Benchmark.measures
) -> Benchmark:
    """Of files wherever they lie; queries without judgements are left out, as those of other splits are."""
    chunks = read_records(corpus, (), also=("title", "text"))
    passages = {_id: {"text": " ".join(each.values())} for _id, each in chunks.items()}
    if not any(passage["text"] for passage in passages.values()):
        raise ValueError(f"{corpus}: no row has a text")
    asked = read_records(queries, ("text",))
    relevant = read_qrels(qrels, positions(asked), positions(passages))
    judged = {query for query, _ in relevant}
    kept = {_id: each for at, (_id, each) in enumerate(asked.items()) if at in judged}
    now_at = {before: now for now, before in enumerate(sorted(judged))}
    judgements = [Judgement(now_at[query], chunk, grade=grade) for (query, chunk), grade in relevant.items()]
    return benchmark_of(name, passages, kept, judgements, measures=measures)
