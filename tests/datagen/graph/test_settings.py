import json

import pytest
from pydantic import ValidationError

from datagen.graph.settings import GraphSettings, GraphSource

OBO = """format-version: 1.2
ontology: test

[Term]
id: T:1
name: blue skin disease
"""


def test_sources_become_one_graph(tmp_path):
    (tmp_path / "test.obo").write_text(OBO)
    settings = GraphSettings(sources=[{"format": "builtin"}, {"format": "obo", "path": tmp_path / "test.obo"}])
    graph, report = settings.read()
    names = graph.concepts["preferred_term"].to_pylist()
    assert "blue skin disease" in names
    assert [source["concepts"] for source in report["sources"]] == [len(names) - 1, 1]
    json.dumps(report)


@pytest.mark.parametrize("source", [{"format": "obo"}, {"format": "builtin", "path": "x.obo"}])
def test_a_path_goes_with_a_file_and_only_with_a_file(source):
    with pytest.raises(ValidationError, match="a path goes with every format but builtin"):
        GraphSource.model_validate(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"format": "owl", "path": "x"}, "no such format; choose one of abbreviations, atc"),
        ({"format": "obo", "path": "x", "languages": ["en"]}, "the format obo does not take languages"),
        ({"format": "bios", "path": "x", "sources": ["MSH"]}, "the format bios does not take sources"),
        ({"format": "umls", "path": "x", "languages": []}, "at least 1 item"),
    ],
)
def test_what_a_format_does_not_take_is_refused(source, message):
    with pytest.raises(ValidationError, match=message):
        GraphSource.model_validate(source)


def test_options_reach_the_reader(tmp_path):
    (tmp_path / "terms.tsv").write_text("cid\ttid\tstr\ttty\tlang\nC1\tT1\t心\tPT\tCHS\nC1\tT2\theart\tPT\tENG\n")
    (tmp_path / "types.tsv").write_text("cid\tsty\nC1\tAnatomy\n")
    (tmp_path / "relations.tsv").write_text("cid1\trel\tcid2\nC1\tpart_of\tC1\n")
    source = GraphSource(format="bios", path=tmp_path, languages=["zh"])
    assert source.read().concepts["preferred_term"].to_pylist() == ["心"]


def test_bad_rows_are_reported_with_their_source_and_the_rest_is_read(tmp_path):
    rows = [f"A{i // 10}{i % 10}{suffix},title {i}{suffix}" for i in range(30) for suffix in ("", "1")]
    for name, bad in (("a.csv", "A99"), ("b.csv", "A9.9,title")):
        (tmp_path / name).write_text("\n".join([*rows[:7], bad, *rows[7:]]))
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    graph, report = GraphSettings(sources=[{"format": "icd10cm", "path": path} for path in paths]).read()
    assert graph.concepts.num_rows == len(rows)
    assert [source["bad_rows"] for source in report["sources"]] == [
        {"count": 1, "first": [{"file": str(path), "row": 8, "reason": reason}]}
        for path, reason in zip(paths, ("columns", "code"), strict=True)
    ]
    json.dumps(report)


def test_what_a_reader_refuses_names_the_file(tmp_path):
    path = tmp_path / "drugs.csv"
    path.write_text("DrugBank ID,Common name,Synonyms\nDB1,aspirin,\nDB1,aspirin,\n")
    with pytest.raises(ValueError, match=r"drugs\.csv: concept DRUGBANK:DB1 is defined more than once"):
        GraphSource(format="drugbank", path=path).read()
