from datagen.graph.licences import licence_notes


def test_each_restriction_is_said_once():
    notes = licence_notes(["builtin", "atc", "hpoa", "babelon", "atc", "umls"])
    assert len(notes) == 3
    assert any("no commercial use" in note for note in notes)
    assert licence_notes(["builtin", "obo"]) == []
