"""The figures that the development benchmarks' READMEs give, table by table."""

import json
from pathlib import Path

import pytest

from evaluation.benchmark import read_benchmark
from evaluation.metrics import evaluate_ranking, measure, rank_chunks, single_patient
from evaluation.retrievers import Scores, parse_retriever

DATA = Path(__file__).parents[2].parent / "shared/data"
NAMES = {"mrr": "MRR", "ndcg@10": "NDCG@10", "map": "MAP", "recall@100": "R@100", "n": "n"}
TOLERANCE = 0.005

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no development benchmarks in {DATA}")


def assert_baselines(name: str, system: str, spec: str, scores: Scores) -> None:
    baseline = json.loads((DATA / name / "BASELINES.json").read_text())[system]
    benchmark = scores.benchmark
    order = rank_chunks(benchmark, scores.of(parse_retriever(spec)))
    metrics = evaluate_ranking(benchmark, order)

    def agree(ours: dict, theirs: dict) -> None:
        for our_name in NAMES.keys() & ours.keys():
            assert ours[our_name] == pytest.approx(theirs[NAMES[our_name]], abs=TOLERANCE), our_name

    agree(metrics["multi_patient"], baseline["multi_patient"])
    agree(metrics["single_patient"], baseline["single_patient"])
    for kind, theirs in baseline["by_match_type"].items():
        agree(metrics["multi_patient"]["by_match_type"][kind.removesuffix(" (all)")], theirs)
    for kind, theirs in baseline["by_query_type"].items():
        agree(metrics["multi_patient"]["by_query_type"][kind], theirs)
    mixed = [pair for pair in single_patient(benchmark, order) if len(pair.ranks) < pair.length]
    means = {of: values.mean() for of, values in measure(mixed, ["mrr", "ndcg@10", "map"]).items()}
    agree(means | {"n": len(mixed)}, baseline["single_patient_with_negatives"])


@pytest.mark.parametrize("name", ["bench-dev", "bench-dev-drugs"])
def test_bm25(name):
    assert_baselines(name, "bm25", "bm25", Scores(read_benchmark(DATA / name), print))


def test_bundled_encoder_and_hybrid_on_bench_dev():
    scores = Scores(read_benchmark(DATA / "bench-dev"), print)
    assert_baselines("bench-dev", "minilm", "dense:bundled", scores)
    order = rank_chunks(scores.benchmark, scores.of(parse_retriever("hybrid:bundled")))
    hybrid = evaluate_ranking(scores.benchmark, order)["multi_patient"]
    assert hybrid["mrr"] == pytest.approx(0.914, abs=TOLERANCE)
    assert hybrid["by_match_type"]["non-string"]["mrr"] == pytest.approx(0.43, abs=0.01)


@pytest.mark.long
def test_bundled_encoder_on_bench_dev_drugs():
    scores = Scores(read_benchmark(DATA / "bench-dev-drugs"), print)
    assert_baselines("bench-dev-drugs", "minilm", "dense:bundled", scores)
