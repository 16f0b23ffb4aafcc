"""The job `evaluate` as a user runs it: two evaluations, synonyms from a built graph, and their comparison."""

import json

import pytest

from tests.evaluation.tiny_benchmark import TINY


@pytest.mark.long
def test_two_evaluations_and_what_changed_between_them(job, tmp_path):
    (tmp_path / "tiny").mkdir()
    for name, text in TINY.items():
        (tmp_path / "tiny" / name).write_text(text)
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"note_id": "n", "patient_id": "p", "text": "Acute kidney injury. " * 60}) + "\n")
    graph, store = f"built_graph.path={tmp_path / 'graph'}", f"store.path={tmp_path / 'store'}"
    common = [f"benchmark.path={tmp_path / 'tiny'}", f"vectors.path={tmp_path / 'vectors'}"]
    for name, recipe, settings in (
        ("prepare_corpus", "prepare_corpus", [f"notes.path={notes}", store]),
        ("match_entities", "match_entities", [store, graph, f"output.path={tmp_path / 'records'}"]),
        ("evaluate", "evaluate", [*common, "retrievers=[bm25, dense:bundled]", f"output.path={tmp_path / 'before'}"]),
        ("evaluate", "evaluate", [*common, graph, "retrievers=['expanded:bm25']", f"output.path={tmp_path / 'after'}"]),
    ):
        done = job(name, recipe, *settings)
        assert done.wait() == 0, done.output()
    after = json.loads((tmp_path / "after" / "metrics.json").read_text())
    assert after["retrievers"]["expanded:bm25"]["multi_patient"]["recall@100"] == 1
    both = f"compare=[{tmp_path / 'before'}, {tmp_path / 'after'}]"
    refused = job("evaluate", "evaluate", both, f"output.path={tmp_path / 'before'}")
    assert refused.wait() == 1
    assert "error: compare: no retriever stands in both" in refused.output()

    again = job("evaluate", "evaluate", *common, "retrievers=[bm25]", f"output.path={tmp_path / 'again'}")
    assert again.wait() == 0, again.output()
    both = f"compare=[{tmp_path / 'before'}, {tmp_path / 'again'}]"
    compared = job("evaluate", "evaluate", both, f"output.path={tmp_path / 'before'}")
    assert compared.wait() == 0, compared.output()
    assert "+0.0000" in compared.output()
    assert (tmp_path / "before_comparison" / "report.html").exists()
    assert (tmp_path / "before" / "metrics.json").exists(), "what is compared stays"
