"""PMC-Patients, patient-to-patient retrieval (Zhao et al., Scientific Data 2023, s41597-023-02814-8).

The folder of its ReCDS benchmark: PPR/corpus.jsonl, PPR/qrels_test.tsv (similarity 1 or 2), queries/test_queries.jsonl.
A query is a whole patient summary. Published are MRR, P@10, NDCG@10 and R@1000.
"""

from pathlib import Path

from evaluation.benchmark import Benchmark
from evaluation.benchmarks.beir import SPLIT, read_files
from evaluation.benchmarks.files import find

MEASURES = ("mrr", "precision@10", "ndcg@10", "map", "recall@1000")


def read(folder: Path) -> Benchmark:
    """Raises ValueError naming file and row."""
    ppr = folder / "PPR"
    corpus, qrels = find(ppr, "corpus.jsonl"), find(ppr, f"qrels_{SPLIT}.tsv")
    return read_files("pmc-patients-ppr", corpus, find(folder / "queries", f"{SPLIT}_queries.jsonl"), qrels, MEASURES)
