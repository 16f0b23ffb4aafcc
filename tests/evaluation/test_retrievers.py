from math import log

import numpy as np
import pytest

from evaluation.benchmark import read_benchmark
from evaluation.retrievers import Retriever, Scores, parse_retriever
from evaluation.retrievers.bm25 import Bm25, words
from evaluation.retrievers.dense import Dense
from evaluation.retrievers.hybrid import Hybrid


@pytest.mark.parametrize(
    ("spec", "retriever"),
    [
        ("bm25", Bm25()),
        ("dense:bundled", Dense("bundled")),
        ("dense:runs/a:b", Dense("runs/a:b")),
        ("hybrid:runs/encoder", Hybrid("runs/encoder", weight=0.7)),
    ],
)
def test_a_spec_names_a_retriever(spec, retriever):
    assert parse_retriever(spec) == retriever


@pytest.mark.parametrize("spec", ["", "bm52", "bm25:", "bm25:x", "dense", "dense:", "Dense:bundled"])
def test_an_unknown_spec_lists_the_known_forms(spec):
    with pytest.raises(ValueError, match=r"unknown retriever .*known: bm25, dense:<.*>, hybrid:<.*>"):
        parse_retriever(spec)


def test_bm25_by_hand(write_benchmark):
    benchmark = read_benchmark(write_benchmark())
    scores = Scores(benchmark, print).of(Bm25())
    lengths = [len(words(text)) for text in benchmark.chunk_texts]
    # "aspirin" stands once, in one of four chunks.
    idf = log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    expected = idf / (1 + 0.9 * (1 - 0.4 + 0.4 * lengths[3] / np.mean(lengths)))
    assert scores.dtype == np.float32
    assert scores[1] == pytest.approx([0, 0, 0, expected])


def test_bm25_of_a_query_without_a_known_word_is_zero(write_benchmark):
    queries = '{"_id": "q1", "text": "zzz", "type": "x"}\n{"_id": "q2", "text": "!", "type": "x"}\n'
    scores = Scores(read_benchmark(write_benchmark({"queries.jsonl": queries})), print).of(Bm25())
    assert not scores.any()


def test_each_encoder_encodes_a_corpus_once_and_hybrid_is_the_convex_sum(write_benchmark):
    messages: list[str] = []
    scores = Scores(read_benchmark(write_benchmark()), messages.append)
    dense, hybrid = scores.of(Dense("bundled")), scores.of(Hybrid("bundled"))
    lexical = scores.of(Bm25())
    assert messages == ["bundled: 4 of 4 chunks encoded"]
    assert dense.shape == (2, 4)
    assert np.abs(dense).max() <= 1 + 1e-6
    assert dense[1].argmax() == 3
    assert hybrid == pytest.approx(0.7 * lexical / lexical.max(axis=1, keepdims=True) + 0.3 * dense, abs=1e-6)


def test_a_missing_encoder_folder_is_named(write_benchmark, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        Scores(read_benchmark(write_benchmark()), print).of(Dense(str(tmp_path / "nowhere")))


def test_scores_that_are_not_finite_are_refused(write_benchmark):
    class Broken(Retriever):
        form = "broken"

        def score(self, scores):
            return np.full((2, 4), np.nan, dtype=np.float32)

    with pytest.raises(ValueError, match="scores that are not finite"):
        Scores(read_benchmark(write_benchmark()), print).of(Broken())
