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
    names = settings.read().concepts["preferred_term"].to_pylist()
    assert "blue skin disease" in names
    assert len(names) > 300


@pytest.mark.parametrize("source", [{"format": "obo"}, {"format": "builtin", "path": "x.obo"}])
def test_a_path_goes_with_a_file_and_only_with_a_file(source):
    with pytest.raises(ValidationError, match="a path goes with every format but builtin"):
        GraphSource.model_validate(source)
