import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.benchmark import Judgement, benchmark_of
from evaluation.benchmarks import read_benchmark
from evaluation.evaluate import EvaluateSettings, evaluate
from evaluation.figures import Figures, means
from evaluation.ranking import UNKNOWN, Hits, hits_of_scores
from evaluation.retrievers import Bench
from evaluation.runs import RUN_DEPTH, Run, RunWriter, run_file_name


def make_bench(benchmark, said=None):
    return Bench(benchmark, [].append if said is None else said.append, lambda *_: None, lambda *_: np.empty(0))


def bench(path, said=None):
    return make_bench(read_benchmark(path, "trec"), said)


def scored(qrels, run):
    tools = bench(qrels)
    figures = Figures(tools.benchmark)
    queries = range(len(tools.benchmark.query_ids))
    figures.add(dict(zip(queries, tools.retriever(f"run:{run}").hits(queries), strict=True)))
    return means(figures.per_query())["multi_patient"]


@pytest.fixture
def qrels(tmp_path):
    path = tmp_path / "qrels.txt"
    path.write_text("q1 0 a 1\nq1 0 b 0\nq2 0 c 1\nq2 0 d 2\n")
    return path


@pytest.fixture
def run(tmp_path):
    def write(text):
        path = tmp_path / "other.run"
        path.write_text(text)
        return path

    return write


def test_scores_order_a_run_and_ties_go_by_id_descending(qrels, run):
    # q1: b and a tie, so b comes first. q2: x is unknown and keeps its place.
    path = run("q1 Q0 a 1 2.5 t\nq1 Q0 b 2 2.5 t\nq2 Q0 c 1 1 t\nq2 Q0 x 2 7 t\nq9 Q0 a 1 1 t\n")
    assert scored(qrels, path)["mrr"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert scored(qrels, path)["recall@100"] == pytest.approx((1 + 1 / 2) / 2)


def test_scores_are_compared_as_trec_eval_does_in_single_precision(qrels, run):
    # In double precision a would come first; so b does, by its id.
    assert scored(qrels, run("q1 Q0 a 1 1.000000000001 t\nq1 Q0 b 2 1 t\n"))["mrr"] == pytest.approx(1 / 2 / 2)


@pytest.mark.parametrize("spec", ["bm25", "exact", "dense:bundled", "service:http://127.0.0.1:9"])
def test_a_qrels_file_alone_has_no_texts_to_rank(qrels, spec):
    with pytest.raises(ValueError, match=rf"{spec}: the benchmark tells no texts; only run:"):
        bench(qrels).retriever(spec)


def test_what_a_run_does_not_share_with_the_benchmark_is_said(qrels, run):
    said = []
    bench(qrels, said).retriever(f"run:{run('q1 Q0 a 1 1 t' + chr(10) + 'q9 Q0 a 1 1 t' + chr(10))}")
    assert said[-1].endswith("1 queries that the benchmark does not know, 1 of it without lines")


def test_a_query_without_lines_has_no_hits(qrels, run):
    assert scored(qrels, run("q1 Q0 a 1 1 t\n"))["mrr"] == pytest.approx((1 + 0) / 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no lines; an empty run cannot be scored"),
        ("\n\n", "no lines; an empty run cannot be scored"),
        ("q1 Q0 a 1 1 t\nq2 Q0 c 1 1 t\nq1 Q0 b 1 1 t\n", "line 3: lines of this query stand further up too"),
        ("q8 Q0 a 1 1 t\n", "none of its queries is one of the benchmark's"),
    ],
)
def test_a_run_that_cannot_be_scored_is_refused(qrels, run, text, message):
    with pytest.raises(ValueError, match=message):
        bench(qrels).retriever(f"run:{run(text)}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 a 2 1 t", "line 2: this document stands in an earlier line of the query"),
        ("q1 Q0 b 2 1", "line 2: 5 fields, a run file has 6"),
        ("q1 Q0 b 2 high t", "line 2: its score is not a finite number"),
        ("q1 Q0 b 2 nan t", "line 2: its score is not a finite number"),
        ("q1 Q0 b 2 \udcff t", "line 2: not UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "other.run"
    path.write_bytes(f"q1 Q0 a 1 1 t\n{line}\n".encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message):
        Run(path).scores_of("q1")


def test_a_missing_run_is_named(qrels, tmp_path):
    with pytest.raises(ValueError, match=r"no\.run: no such file"):
        bench(qrels).retriever(f"run:{tmp_path / 'no.run'}")


def test_a_run_keeps_the_best_of_each_query_and_is_there_only_when_whole(qrels, tmp_path):
    benchmark = read_benchmark(qrels, "trec")
    writer = RunWriter(tmp_path / "x.run", benchmark)
    scores = np.linspace(1 / 3, 0, RUN_DEPTH + 5, dtype=np.float32)
    documents = np.full(RUN_DEPTH + 5, 0)
    documents[1] = UNKNOWN
    writer.write(0, Hits(documents, scores, ("zz",)))
    assert not (tmp_path / "x.run").exists()
    writer.close()
    lines = [line.split() for line in (tmp_path / "x.run").read_text().splitlines()]
    assert len(lines) == RUN_DEPTH
    assert lines[0][:4] == ["q1", "Q0", "a", "1"]
    assert lines[1][2:4] == ["zz", "2"], "what stands below keeps its rank"
    assert float(lines[2][4]) == scores[2]


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "x", "zz"]), st.integers(0, 3), min_size=1))
def test_a_run_that_is_written_reads_back_as_it_was(scores):
    benchmark = benchmark_of("tiny", {each: {"text": each} for each in "abcd"}, {"q": {"text": "q"}}, [Judgement(0, 1)])
    hits = hits_of_scores(benchmark, scores)
    with TemporaryDirectory() as folder:
        writer = RunWriter(Path(folder) / "x.run", benchmark)
        writer.write(0, hits)
        writer.close()
        again = hits_of_scores(benchmark, Run(Path(folder) / "x.run").scores_of("q"))
    for before, after in zip(hits, again, strict=True):
        assert list(before) == list(after)


def test_a_run_cut_off_within_a_note_gives_no_figures_for_one_patient(tmp_path):
    chunks = {f"n_{i}": {"text": f"text {i}", "note_id": "n"} for i in range(3)}
    benchmark = benchmark_of("tiny", chunks, {"q": {"text": "q"}}, [Judgement(0, 1)])

    def figures(scores):
        gathered = Figures(benchmark)
        gathered.add({0: hits_of_scores(benchmark, scores)})
        return means(gathered.per_query())

    whole, cut = {"n_0": 3.0, "n_1": 2.0, "n_2": 1.0}, {"n_0": 3.0, "n_1": 2.0}
    assert figures(whole)["single_patient"]["mrr"] == 1 / 2
    assert set(figures(cut)) == set(figures(whole)) - {"single_patient", "single_patient_cliniq"}
    assert figures(cut)["multi_patient"]["mrr"] == 1 / 2


def test_a_byte_order_mark_is_no_part_of_the_first_query(tmp_path):
    path = tmp_path / "x.run"
    path.write_bytes(b"\xef\xbb\xbfq1 Q0 a 1 2.0 x\nq1 Q0 b 2 1.0 x\nq2 Q0 c 1 1.0 x\n")
    run = Run(path)
    assert run.query_ids == {"q1", "q2"}
    assert run.scores_of("q1") == {"a": 2.0, "b": 1.0}
    assert run.scores_of("q2") == {"c": 1.0}


@pytest.mark.parametrize("score", ["1e39", "-1e39", "inf", "nan"])
def test_a_score_beyond_single_precision_is_refused(tmp_path, score):
    (tmp_path / "x.run").write_text(f"q1 Q0 a 1 {score} x\n")
    with pytest.raises(ValueError, match="line 1: its score is not a finite number"):
        Run(tmp_path / "x.run")


def test_run_files_of_different_retrievers_never_collide():
    specs = ["bm25", "dense:a/b", "dense:a_b", "dense:" + "x" * 300, "dense:y" + "x" * 299]
    names = [run_file_name(spec) for spec in specs]
    assert names[0] == "bm25.run"
    assert len(set(names)) == len(specs)
    assert all("/" not in name and len(name) < 200 for name in names)


def peak_of(folder, queries, depth):
    """Scores a run of so many lines, in a process of its own; its peak memory in KB and the MRR."""
    run = folder / "big.run"
    with run.open("w") as file:
        for query in range(queries):
            file.writelines(f"q{query} Q0 d{rank} {rank} {-rank} t\n" for rank in range(depth))
    settings = EvaluateSettings.model_validate(
        {
            "benchmark": {"path": folder / "qrels.txt", "layout": "trec"},
            "retrievers": [f"run:{run}"],
            "output": {"path": folder},
        }
    )
    metrics = evaluate(settings, folder, make_bench)["retrievers"][f"run:{run}"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, metrics["multi_patient"]["mrr"]


@pytest.mark.long
def test_ten_million_lines_are_scored_in_flat_memory(tmp_path):
    queries, depth = 10_000, 1000
    with (tmp_path / "qrels.txt").open("w") as file:
        file.writelines(f"q{query} 0 d{query % depth} 1\n" for query in range(queries))
    peaks = []
    for asked in (queries // 10, queries):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            peak, mrr = process.submit(peak_of, tmp_path, asked, depth).result()
        assert mrr == pytest.approx(sum(1 / (query % depth + 1) for query in range(asked)) / queries)
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 100_000, "ten times the lines, 100 MB more at most"
