import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import log
from threading import Thread

import numpy as np
import pytest

from encoders.spec import resolve
from evaluation.benchmarks import read_benchmark
from evaluation.building import pool
from evaluation.ranking import UNKNOWN
from evaluation.retrievers import Scorer, input_of, parse_retriever
from evaluation.retrievers.bm25 import Bm25, words
from evaluation.retrievers.dense import Dense
from evaluation.retrievers.expanded import Expanded
from evaluation.retrievers.hybrid import Hybrid, ReciprocalRank
from evaluation.retrievers.run_file import RunFile
from evaluation.retrievers.service import Service


@pytest.fixture
def tiny(write_benchmark):
    return read_benchmark(write_benchmark())


BOTH = range(2)


@pytest.mark.parametrize(
    ("spec", "leaf", "argument", "reads"),
    [
        ("bm25", Bm25, "", ""),
        ("dense:bundled", Dense, "bundled", "bundled"),
        ("dense:runs/a:b", Dense, "runs/a:b", "runs/a:b"),
        ("hybrid:runs/encoder", Hybrid, "runs/encoder", "runs/encoder"),
        ("rrf:bundled", ReciprocalRank, "bundled", "bundled"),
        ("expanded:dense:bundled", Expanded, "dense:bundled", "bundled"),
        ("run:a.run", RunFile, "a.run", "a.run"),
        ("service:http://127.0.0.1:8000", Service, "http://127.0.0.1:8000", ""),
    ],
)
def test_a_spec_names_a_retriever_and_what_it_reads(spec, leaf, argument, reads):
    assert parse_retriever(spec) == (leaf, argument)
    assert input_of(spec) == reads


@pytest.mark.parametrize("spec", ["", "bm52", "bm25:", "bm25:x", "dense", "dense:", "Dense:bundled", "expanded:bm52"])
def test_an_unknown_spec_lists_the_known_forms(spec):
    with pytest.raises(ValueError, match=r"unknown retriever .*known: bm25, exact, dense:<.*>, .*, run:<.*>"):
        parse_retriever(spec)


def test_bm25_by_hand(tiny, bench):
    scores = bench(tiny).retriever("bm25").scores(BOTH)
    lengths = [len(words(text)) for text in tiny.chunk_texts]
    # "aspirin" stands once, in one of four chunks.
    idf = log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    expected = idf / (1 + 0.9 * (1 - 0.4 + 0.4 * lengths[3] / np.mean(lengths)))
    assert scores.dtype == np.float32
    assert scores[1] == pytest.approx([0, 0, 0, expected])


@pytest.mark.parametrize("spec", ["bm25", "exact"])
def test_words_that_stand_nowhere_score_zero(tiny, bench, spec):
    assert (
        not bench(tiny).retriever(spec).score_texts(["zzz", "!", "aspirin chest"][: 2 if spec == "bm25" else 3]).any()
    )


def test_exact_match_counts_the_phrase_word_by_word(tiny, bench):
    texts = ["Aspirin, 100 MG daily", "aspirin", "spirin", "kidney injury"]
    scores = bench(replace(tiny, chunk_texts=(*tiny.chunk_texts[:3], "Aspirin. aspirin 100 mg daily")))
    assert scores.retriever("exact").score_texts(texts).tolist() == [[0, 0, 0, 1], [0, 0, 0, 2], [0] * 4, [1, 0, 0, 0]]


def test_hybrids_fuse_the_scores_of_both(tiny, bench):
    tools = bench(tiny)
    dense, lexical = tools.retriever("dense:bundled").scores(BOTH), tools.retriever("bm25").scores(BOTH)
    assert dense.shape == (2, 4)
    assert np.abs(dense).max() <= 1 + 1e-6
    assert dense[1].argmax() == 3
    # Both queries have a chunk that holds them whole.
    convex = 0.3 * (lexical / lexical.max(axis=1, keepdims=True)) ** 2 + 0.7 * dense
    assert tools.retriever("hybrid:bundled").scores(BOTH) == pytest.approx(convex, abs=1e-6)
    in_part = tools.retriever("hybrid:bundled").score_texts(["aspirin twice"])[0]
    dense_of, lexical_of = (
        tools.retriever(name).score_texts(["aspirin twice"])[0] for name in ("dense:bundled", "bm25")
    )
    assert in_part == pytest.approx(0.3 * (7 / 12 * lexical_of / lexical_of.max()) ** 2 + 0.7 * dense_of, abs=1e-6)
    rank = 1 + (dense[1][None, :] > dense[1][:, None]).sum(axis=1)
    expected = 1 / (60 + rank) + np.array([0, 0, 0, 1 / 61])
    assert tools.retriever("rrf:bundled").scores(BOTH)[1] == pytest.approx(expected)


def test_sentence_transformers_itself_gives_the_same_cosines(tiny, bench):
    tools = bench(tiny)
    plain = tools.retriever(f"sentence-transformers:{resolve('bundled')}")
    assert plain.scores(BOTH) == pytest.approx(tools.retriever("dense:bundled").scores(BOTH), abs=1e-5)


def test_a_model_that_sentence_transformers_cannot_load_is_named(tiny, bench, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: sentence-transformers cannot load it"):
        bench(tiny).retriever(f"sentence-transformers:{tmp_path / 'nowhere'}")


def test_an_expanded_query_scores_as_its_best_name(tiny, bench):
    names = {"acute kidney injury": ["aki"]}
    tools = bench(tiny, synonyms=lambda text: names.get(text, []))
    plain, expanded = tools.retriever("bm25"), tools.retriever("expanded:bm25").scores(BOTH)
    assert expanded[0] == pytest.approx(np.maximum(*plain.score_texts(["acute kidney injury", "aki"])))
    assert expanded[0, 1] > 0
    assert (expanded[1] == plain.scores(BOTH)[1]).all()


def test_without_a_graph_nothing_is_expanded(tiny, bench):
    with pytest.raises(ValueError, match=r"expanded:bm25: name a built graph in built_graph\.path"):
        bench(tiny).retriever("expanded:bm25")


def test_a_run_cannot_be_expanded(tiny, bench, tmp_path):
    (tmp_path / "a.run").write_text("q1 Q0 n1_0 1 1 t\n")
    with pytest.raises(ValueError, match="only a retriever that scores every chunk"):
        bench(tiny, synonyms=lambda text: []).retriever(f"expanded:run:{tmp_path / 'a.run'}")


def test_a_missing_encoder_folder_is_named(tiny, bench, tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        bench(tiny).retriever(f"dense:{tmp_path / 'nowhere'}")


def test_scores_that_are_not_finite_are_refused(tiny, bench):
    class Broken(Scorer):
        form = "broken"

        def score_texts(self, texts):
            return np.full((len(texts), 4), np.nan, dtype=np.float32)

    with pytest.raises(ValueError, match="scores that are not finite"):
        Broken(bench(tiny), "").hits(BOTH)


@pytest.fixture
def service():
    """An HTTP server that answers as the service does, one chunk unknown; its status can be set."""

    class Handler(BaseHTTPRequestHandler):
        status = 200
        body: bytes | None = None

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert asked["k"] == 1000
            hits = [{"chunk_id": "new_0", "score": 2.0}, {"chunk_id": "n1_1", "score": 1.5}]
            self.send_response(Handler.status)
            self.end_headers()
            self.wfile.write(Handler.body or json.dumps({"hits": hits}).encode())

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Handler
    server.shutdown()
    server.server_close()


def test_the_service_is_asked_over_http(tiny, bench, service):
    first, second = bench(tiny).retriever(f"service:{service[0]}").hits(BOTH)
    assert first.documents.tolist() == second.documents.tolist() == [UNKNOWN, 1]
    assert first.scores.tolist() == [2.0, 1.5]


def test_candidates_to_judge_are_chunks_that_the_benchmark_holds(tiny, bench, service):
    # The unknown chunk comes first, and is not the last chunk of the corpus.
    assert pool(bench(tiny), [f"service:{service[0]}"], 1) == [(0, 1), (1, 1)]


def test_the_service_cannot_rank_whole_notes(tiny, bench, service):
    with pytest.raises(ValueError, match="the service ranks chunks, this benchmark whole notes"):
        bench(replace(tiny, ranks="note")).retriever(f"service:{service[0]}")


def test_a_service_that_refuses_is_named_with_its_status(tiny, bench, service):
    service[1].status = 401
    with pytest.raises(ValueError, match="answered 401"):
        bench(tiny).retriever(f"service:{service[0]}").hits(BOTH)


ODD = [
    json.dumps({"hits": [{"chunk_id": chunk, "score": score}]}).encode()
    for chunk, score in ((5, 1), ("a b", 1), ("", 1), ("\ud83d", 1), ("a", float("nan")), ("a", 1e39), ("a", 10**400))
]


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"hits": [{"chunk_id": "a"}]}', *ODD])
def test_another_service_is_named(tiny, bench, service, body):
    service[1].body = body
    with pytest.raises(ValueError, match=r"http://127.0.0.1:\d+/v1/search: its answers are not those of this service"):
        bench(tiny).retriever(f"service:{service[0]}").hits(BOTH)


def test_a_query_longer_than_the_service_takes_is_named_before_any_is_asked(tiny, bench, service):
    long = replace(tiny, query_texts=("short", "x" * 4001))
    with pytest.raises(ValueError, match=f"takes 4,000 characters; query {tiny.query_ids[1]} is longer"):
        bench(long).retriever(f"service:{service[0]}")


def test_equal_scores_of_a_service_rank_by_id_descending(tiny, bench, service):
    service[1].body = json.dumps({"hits": [{"chunk_id": each, "score": 1.0} for each in tiny.chunk_ids[:2]]}).encode()
    (hits, _) = bench(tiny).retriever(f"service:{service[0]}").hits(BOTH)
    assert hits.documents.tolist() == [1, 0]


def test_a_service_that_does_not_answer_is_named(tiny, bench):
    with pytest.raises(ValueError, match=r"no answer \(ConnectError\); is the service running there"):
        bench(tiny).retriever("service:http://127.0.0.1:9").hits(BOTH)
