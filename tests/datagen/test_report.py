import json
import random

import pytest

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.report import summarise, write_report


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "built"
    rows = [("D:1", "pneumonia", []), ("D:2", "mitral stenosis", []), ("D:3", "multiple sclerosis", [])]
    build_graph(
        KnowledgeGraph.from_rows(rows, terms=[(concept, "MS", "en", "abbreviation") for concept in ("D:2", "D:3")]),
        folder,
    )
    return BuiltGraph.open(folder)


def record(idx, text, **entities):
    terms = [term for found in entities.values() for term in found]
    return {
        "idx": idx,
        "text": text,
        "entities": terms,
        "provenance": [how for how, found in entities.items() for _ in found],
        "assertion": ["present"] * len(terms),
    }


RECORDS = [
    record("n_0", "Pneumonia & <b>fever</b>", match=["pneumonia", "fever"], hypernym=["lung disease"]),
    record("n_1", "ms since 1999", match=["ms"]),
    *(record(f"m_{i}", "Pneumonia.", match=["pneumonia"]) for i in range(38)),
]


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def test_the_summary_counts_entities_and_how_they_came_in(records, graph):
    report = summarise(records, {"chunks": 50, "records": 40}, graph)
    assert report["counts"] == {"chunks": 50, "records": 40}
    assert report["entities_per_chunk"] == {"min": 1, "median": 1, "p90": 1, "p99": 3, "max": 3, "mean": 1.05}
    assert report["provenance"] == {"match": 41, "hypernym": 1}
    assert report["most_frequent"][0] == {
        "term": "pneumonia",
        "count": 39,
        "share": 0.975,
        "concepts": ["pneumonia"],
    }


def test_short_ambiguous_and_everywhere_are_suspicious(records, graph):
    suspicious = {row["term"]: row["why"] for row in summarise(records, {}, graph)["most_suspicious"]}
    assert suspicious == {
        "pneumonia": ["in more than 5% of the records"],
        "ms": ["3 characters or fewer", "names several concepts"],
    }


def test_samples_do_not_depend_on_the_order_of_the_records(records, graph, tmp_path):
    lines = records.read_text().splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_text("".join(lines))
    samples = summarise(records, {}, graph)["samples"]
    assert len(samples) == 20
    assert summarise(tmp_path / "shuffled.jsonl", {}, graph)["samples"] == samples


def test_the_page_marks_matched_terms_and_escapes_the_text(tmp_path, graph):
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(RECORDS[0]) + "\n")
    write_report(path, {"records": 1}, graph, tmp_path, {})
    page = (tmp_path / "report.html").read_text()
    assert "<mark>Pneumonia</mark> &amp; &lt;b&gt;<mark>fever</mark>&lt;/b&gt;" in page
    assert "lung disease" in page
    assert json.loads((tmp_path / "report.json").read_text())["counts"] == {"records": 1}
