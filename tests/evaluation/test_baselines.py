"""The figures that the development benchmarks' READMEs give, table by table."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.benchmarks import read_benchmark
from evaluation.figures import Figures, means
from evaluation.metrics import measure
from evaluation.ranking import single_patient

DATA = Path(__file__).parents[2].parent / "shared/data"
NAMES = {"mrr": "MRR", "ndcg@10": "NDCG@10", "map": "MAP", "recall@100": "R@100", "n": "n"}
TOLERANCE = 0.0001

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no development benchmarks in {DATA}")


def hits_of(bench, name, spec):
    tools = bench(read_benchmark(DATA / name))
    queries = range(len(tools.benchmark.query_ids))
    return tools.benchmark, dict(zip(queries, tools.retriever(spec).hits(queries), strict=True))


def metrics_of(benchmark, hits):
    figures = Figures(benchmark)
    figures.add(hits)
    return means(figures.per_query())


def assert_baselines(bench, name: str, system: str, spec: str) -> None:
    baseline = json.loads((DATA / name / "BASELINES.json").read_text())[system]
    benchmark, hits = hits_of(bench, name, spec)
    metrics = metrics_of(benchmark, hits)

    def agree(ours: dict, theirs: dict) -> None:
        for our_name, their_name in NAMES.items():
            assert ours[our_name] == pytest.approx(theirs[their_name], abs=TOLERANCE), our_name

    agree(metrics["multi_patient"], baseline["multi_patient"])
    agree(metrics["single_patient"], baseline["single_patient"])
    for kind, theirs in baseline["by_match_type"].items():
        agree(metrics["multi_patient"]["by_match_type"][kind.removesuffix(" (all)")], theirs)
    for kind, theirs in baseline["by_query_type"].items():
        agree(metrics["multi_patient"]["by_query_type"][kind], theirs)
    pairs = [pair for query, of in hits.items() for pair in single_patient(benchmark, query, of)]
    mixed = [pair for pair in pairs if len(pair.ranks) < pair.length]
    values = {of: np.mean(of_pairs) for of, of_pairs in measure(mixed, [name for name in NAMES if name != "n"]).items()}
    agree(values | {"n": len(mixed)}, baseline["single_patient_with_negatives"])


@pytest.mark.parametrize("name", ["bench-dev", "bench-dev-drugs"])
def test_bm25(bench, name):
    assert_baselines(bench, name, "bm25", "bm25")


def test_bundled_encoder(bench):
    assert_baselines(bench, "bench-dev", "minilm", "dense:bundled")


def test_hybrid_with_the_bundled_encoder(bench):
    hybrid = metrics_of(*hits_of(bench, "bench-dev", "hybrid:bundled"))["multi_patient"]
    assert hybrid["mrr"] == pytest.approx(0.9059, abs=0.0001)
    assert hybrid["by_match_type"]["non-string"]["mrr"] == pytest.approx(0.4342, abs=0.0001)


@pytest.mark.long
def test_bundled_encoder_on_drugs(bench):
    assert_baselines(bench, "bench-dev-drugs", "minilm", "dense:bundled")
