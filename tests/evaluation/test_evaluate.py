import io
import json

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR
from pydantic import ValidationError
from rich.console import Console

from evaluation.benchmark import read_benchmark
from evaluation.evaluate import EvaluateSettings, evaluate
from evaluation.report import terminal_table
from evaluation.runs import RUN_DEPTH, run_file_name, write_run


def settings_of(folder, retrievers):
    return EvaluateSettings.model_validate(
        {"benchmark": {"path": folder}, "retrievers": retrievers, "output": {"path": folder / "out"}}
    )


def test_writes_metrics_runs_and_report(write_benchmark, tmp_path):
    folder, messages = write_benchmark(), []
    metrics = evaluate(
        settings_of(folder, ["bm25", "dense:bundled"]),
        tmp_path / "out",
        messages.append,
        labels={"dense:bundled": "base encoder"},
    )
    out = tmp_path / "out"
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["benchmark"] == "tiny"
    assert list(metrics["retrievers"]) == ["bm25", "dense:bundled"]
    block = {"mrr", "ndcg@10", "ndcg@10_cliniq", "map", "recall@100", "n", "by_match_type", "by_query_type"}
    for of in metrics["retrievers"].values():
        assert set(of) == {"multi_patient", "single_patient", "single_patient_cliniq"}
        assert set(of["multi_patient"]) == set(of["single_patient"]) == block
        assert set(of["single_patient_cliniq"]) == {"mrr", "ndcg", "map", "n"}
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "report.md", "runs"]
    report = (out / "report.md").read_text()
    assert "| base encoder |" in report
    # "AKI resolved" shares no word with "acute kidney injury": it ties with the other chunks at 0.
    assert "| bm25 | 0 | 1 |" in report
    assert not any("kidney" in message for message in messages)


def test_the_run_file_scores_as_the_metrics_say(write_benchmark, tmp_path):
    folder = write_benchmark()
    metrics = evaluate(settings_of(folder, ["bm25"]), tmp_path / "out", print)
    run = list(ir_measures.read_trec_run(str(tmp_path / "out/runs/bm25.run")))
    assert len(run) == 2 * 4
    qrels = {"q1": {"n1_0": 1, "n1_1": 1}, "q2": {"n2_1": 1}}
    again = ir_measures.calc_aggregate([RR, AP], qrels, run)
    assert metrics["retrievers"]["bm25"]["multi_patient"]["mrr"] == pytest.approx(again[RR])
    assert metrics["retrievers"]["bm25"]["multi_patient"]["map"] == pytest.approx(again[AP])


def test_a_run_keeps_the_best_of_each_query_and_leaves_nothing_partial(write_benchmark, tmp_path):
    corpus = "".join(f'{{"_id": "n_{i}", "text": "x", "note_id": "n"}}\n' for i in range(RUN_DEPTH + 5))
    qrels = "query-id\tcorpus-id\tscore\nq1\tn_1\t1\n"
    types = "query-id\tcorpus-id\tmatch_type\tevidence\nq1\tn_1\tstring\tseen\n"
    folder = write_benchmark({"corpus.jsonl": corpus, "qrels.tsv": qrels, "match_types.tsv": types})
    benchmark = read_benchmark(folder)
    scores = np.tile(np.linspace(0, 1 / 3, RUN_DEPTH + 5, dtype=np.float32), (2, 1))
    write_run(tmp_path / "x.run", benchmark, np.argsort(-scores, axis=1), scores, "tag")
    lines = [line.split() for line in (tmp_path / "x.run").read_text().splitlines()]
    assert len(lines) == 2 * RUN_DEPTH
    assert lines[0][:4] == ["q1", "Q0", f"n_{RUN_DEPTH + 4}", "1"]
    assert np.float32(lines[1][4]) == scores[0, -2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny", "x.run"]


def test_run_files_of_different_retrievers_never_collide():
    specs = ["bm25", "dense:a/b", "dense:a_b", "dense:" + "x" * 300, "dense:y" + "x" * 299]
    names = [run_file_name(spec) for spec in specs]
    assert names[0] == "bm25.run"
    assert len(set(names)) == len(specs)
    assert all("/" not in name and len(name) < 200 for name in names)


def test_the_terminal_table_fits_80_columns_and_leaves_out_absent_ones():
    block = {"mrr": 0.5, "ndcg@10": 0.25, "recall@100": 1.0, "map": 0.125}

    def shown(match_types):
        of = {"multi_patient": block | {"by_match_type": match_types}, "single_patient": block}
        console = Console(width=80, record=True, file=io.StringIO())
        table = terminal_table({"benchmark": "tiny", "retrievers": {"dense:x": of}}, {"dense:x": "trained encoder"})
        console.print(table)
        return console.export_text()

    without, full = shown({}), shown({"non-string": {"mrr": 0.75}, "unseen": {"mrr": 0.625}})
    assert "unseen" not in without
    for text in ("trained", "0.5000", "0.2500", "1.0000", "0.1250", "non-string", "0.7500", "unseen", "0.6250"):
        assert text in full


@pytest.mark.parametrize("retrievers", [[], ["nonsense"], ["bm25", "bm25"]])
def test_bad_retriever_lists_are_refused(write_benchmark, retrievers):
    with pytest.raises(ValidationError, match="retrievers"):
        settings_of(write_benchmark(), retrievers)
