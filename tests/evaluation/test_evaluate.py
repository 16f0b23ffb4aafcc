import json
import shutil
import subprocess

import ir_measures
import pyarrow.parquet as pq
import pytest
from ir_measures import AP, RR
from pydantic import ValidationError
from rich.console import Console

from encoders.encoder import Encoder
from evaluation.comparison import compare
from evaluation.evaluate import EvaluateSettings, evaluate
from evaluation.report import main_table
from reporting.terminal import terminal_table

CHROMIUM = shutil.which("chromium")
LABELS = {"dense:bundled": "base encoder"}


def settings_of(folder, retrievers):
    return EvaluateSettings.model_validate(
        {"benchmark": {"path": folder}, "retrievers": retrievers, "output": {"path": folder / "out"}}
    )


@pytest.fixture
def run(write_benchmark, bench, tmp_path):
    """Evaluates retrievers on the tiny benchmark into a folder of that name; what was said goes to `said`."""
    folder = write_benchmark()

    def run(name, retrievers, said=None):
        (tmp_path / name).mkdir()
        tools = lambda benchmark: bench(benchmark, said)  # noqa: E731
        return evaluate(settings_of(folder, retrievers), tmp_path / name, tools, LABELS)

    return run


def test_writes_metrics_runs_and_report(run, tmp_path):
    said = []
    metrics = run("out", ["bm25", "dense:bundled"], said)
    out = tmp_path / "out"
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["benchmark"] == "tiny"
    assert list(metrics["retrievers"]) == ["bm25", "dense:bundled"]
    block = {"mrr", "ndcg@10", "ndcg@10_cliniq", "map", "recall@100", "n", "by_match_type", "by_query_type"}
    for of in metrics["retrievers"].values():
        assert set(of["multi_patient"]) == set(of["single_patient"]) == block
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "per_query.parquet", "report.html", "runs"]
    # "AKI resolved" shares no word with "acute kidney injury": it ties with the other chunks at 0.
    assert metrics["ties"]["bm25"] == {"first": 0, "any": 1}
    assert not any("kidney" in line for line in said)
    assert metrics["intervals"]["bm25"]["multi_patient"]["mrr"] is None, "two queries tell nothing of others"
    assert metrics["fingerprints"]["encoder bundled"] == Encoder.load("bundled").fingerprint
    against = metrics["comparisons"]["dense:bundled"]["multi_patient/mrr"]
    gain = [metrics["retrievers"][spec]["multi_patient"]["mrr"] for spec in ("dense:bundled", "bm25")]
    assert against["mean"] == pytest.approx(gain[0] - gain[1])


def test_the_run_file_scores_as_the_metrics_say(run, tmp_path):
    metrics = run("out", ["bm25"])
    lines = list(ir_measures.read_trec_run(str(tmp_path / "out/runs/bm25.run")))
    assert len(lines) == 2 * 4
    qrels = {"q1": {"n1_0": 1, "n1_1": 1}, "q2": {"n2_1": 1}}
    again = ir_measures.calc_aggregate([RR, AP], qrels, lines)
    assert metrics["retrievers"]["bm25"]["multi_patient"]["mrr"] == pytest.approx(again[RR])
    assert metrics["retrievers"]["bm25"]["multi_patient"]["map"] == pytest.approx(again[AP])
    ours = run("again", [f"run:{tmp_path / 'out/runs/bm25.run'}"])
    (block,) = ours["retrievers"].values()
    assert block == metrics["retrievers"]["bm25"]


def test_per_query_values_add_up_to_the_figures(run, tmp_path):
    metrics = run("out", ["bm25"])
    rows = [row for row in pq.read_table(tmp_path / "out/per_query.parquet").to_pylist() if row["count"]]
    mrr = [row for row in rows if row["figure"] == "single_patient/mrr"]
    assert {row["query_id"] for row in mrr} == {"q1", "q2"}
    mean = sum(row["sum"] for row in mrr) / sum(row["count"] for row in mrr)
    assert mean == pytest.approx(metrics["retrievers"]["bm25"]["single_patient"]["mrr"])


def test_two_evaluations_are_compared(run, tmp_path):
    run("before", ["bm25", "dense:bundled"])
    run("after", ["dense:bundled"])
    (tmp_path / "same").mkdir()
    result = compare(tmp_path / "before", tmp_path / "after", tmp_path / "same")
    assert list(result["comparisons"]) == ["dense:bundled"]
    assert {of["p_permutation"] for of in result["comparisons"]["dense:bundled"].values()} == {None}, "two queries"
    assert {of["mean"] for of in result["comparisons"]["dense:bundled"].values()} == {0}
    run("lexical", ["bm25"])
    other = compare(tmp_path / "lexical", tmp_path / "after", tmp_path / "same")
    assert list(other["comparisons"]) == ["bm25 -> dense:bundled"]
    assert json.loads((tmp_path / "same/comparison.json").read_text()) == other
    page = (tmp_path / "same/report.html").read_text()
    assert all(heading in page for heading in ("Differences", "By type", "What was compared", "encoder bundled *"))


def test_what_stands_in_one_evaluation_alone_is_paired_or_listed(run, tmp_path):
    run("before", ["bm25", "exact"])
    run("after", ["bm25", "dense:bundled"])
    run("more", ["bm25", "dense:bundled", "rrf:bundled"])
    (tmp_path / "out").mkdir()
    one = compare(tmp_path / "before", tmp_path / "after", tmp_path / "out")
    assert list(one["comparisons"]) == ["bm25", "exact -> dense:bundled"]
    assert one["unpaired"] == {"before": [], "after": []}
    two = compare(tmp_path / "before", tmp_path / "more", tmp_path / "out")
    assert list(two["comparisons"]) == ["bm25"]
    assert two["unpaired"] == {"before": ["exact"], "after": ["dense:bundled", "rrf:bundled"]}
    assert "Only after: dense:bundled, rrf:bundled." in (tmp_path / "out/report.html").read_text()


def test_what_cannot_be_compared_is_refused(run, tmp_path):
    run("one", ["bm25"])
    run("two", ["exact", "dense:bundled"])
    with pytest.raises(ValueError, match="no retriever stands in both"):
        compare(tmp_path / "one", tmp_path / "two", tmp_path)
    with pytest.raises(ValueError, match=r"not the output of an evaluation, no metrics\.json"):
        compare(tmp_path / "one", tmp_path / "tiny", tmp_path)
    (tmp_path / "tiny" / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match=r"not the output of an evaluation, no per_query\.parquet"):
        compare(tmp_path / "one", tmp_path / "tiny", tmp_path)
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    metrics["fingerprints"]["queries and judgements"] = "others"
    (tmp_path / "two/metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match="different benchmarks: their queries and judgements differ"):
        compare(tmp_path / "one", tmp_path / "two", tmp_path)


def test_the_terminal_table_fits_80_columns_and_leaves_out_absent_ones():
    block = {"mrr": 0.5, "ndcg@10": 0.25, "recall@100": 1.0, "map": 0.125}

    def shown(match_types):
        metrics = {"retrievers": {"dense:x": {"multi_patient": block | {"by_match_type": match_types}}}}
        console = Console(width=80)
        with console.capture() as capture:
            console.print(terminal_table(main_table(metrics, {"dense:x": "trained encoder"}), "tiny"))
        return capture.get()

    without, full = shown({}), shown({"non-string": {"mrr": 0.75}, "unseen": {"mrr": 0.625}})
    assert "unseen" not in without
    for text in ("trained", "0.5000", "0.2500", "1.0000", "0.1250", "non-string", "0.7500", "unseen", "0.6250"):
        assert text in full


@pytest.mark.parametrize("retrievers", [[], ["nonsense"], ["bm25", "bm25"]])
def test_bad_retriever_lists_are_refused(write_benchmark, retrievers):
    with pytest.raises(ValidationError, match="retrievers"):
        settings_of(write_benchmark(), retrievers)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_report_opens_in_a_browser(run, tmp_path):
    run("out", ["bm25", "dense:bundled", "hybrid:bundled"])
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--virtual-time-budget=5000",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    page = f"file://{tmp_path / 'out/report.html'}"
    shown = subprocess.run(
        [CHROMIUM, *arguments, profile, "--dump-dom", page], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "base encoder" in shown
    assert shown.count("<svg") == 5, "recall, differences and the scores of three retrievers"
    assert shown.count("<h2>") >= 8
    assert "<mark>aspirin</mark>" in shown.lower()
    assert "http://" not in shown.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ), "nothing is fetched"
