import pytest

from datagen.graph.builtin import read_builtin


def test_the_packaged_graph_holds_what_hospital_notes_speak_of():
    graph = read_builtin()
    assert {kind for kinds in graph.concepts["semantic_types"].to_pylist() for kind in kinds} == {
        "disease",
        "finding",
        "procedure",
        "drug",
    }
    assert graph.concepts.num_rows > 300
    assert {"exact", "abbreviation"} == set(graph.terms["scope"].to_pylist())
    assert graph.is_a.num_rows
    assert graph.relations.num_rows


def test_each_field_reaches_its_table(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "concepts:\n"
        "- {id: 'X:1', name: kidney failure, type: disease, synonyms: [renal failure], abbreviations: [KF],"
        " is_a: ['X:2'], sources: [book]}\n"
        "- {id: 'X:2', name: kidney disease, type: disease}\n"
        "- {id: 'X:3', name: dialysis, type: procedure, relations: {treats: ['X:1']}}\n"
    )
    graph = read_builtin(path)
    assert graph.concepts["preferred_term"].to_pylist() == ["kidney failure", "kidney disease", "dialysis"]
    assert [(t["term"], t["scope"]) for t in graph.terms.to_pylist()] == [
        ("renal failure", "exact"),
        ("KF", "abbreviation"),
    ]
    assert graph.is_a.to_pylist() == [{"child": "X:1", "parent": "X:2"}]
    assert graph.relations.to_pylist() == [{"head": "X:3", "type": "treats", "tail": "X:1"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concepts: [", "not a concept list"),
        ("concepts:\n- {id: 'X:1', name: a, type: disease, synonym: [b]}\n", "concepts.0.synonym"),
        ("concepts:\n- {id: 'X:1', name: a, type: disease, is_a: ['X:9']}\n", "unknown concept X:9"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_builtin(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.yaml: cannot be read"):
        read_builtin(tmp_path / "none.yaml")
