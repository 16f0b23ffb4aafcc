from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.synonyms import MOST, known_synonyms


def test_names_of_one_thing_are_synonyms_and_nothing_wider_or_ambiguous_is(tmp_path):
    rows = KnowledgeGraph.from_rows(
        concepts=[("D:1", "myocardial infarction", []), ("D:2", "mitral insufficiency", []), ("D:3", "gout", [])],
        terms=[
            ("D:1", "heart attack", "en", "exact"),
            ("D:1", "MI", "en", "abbreviation"),
            ("D:1", "AMI", "en", "abbreviation"),
            ("D:1", "coronary disease", "en", "broad"),
            ("D:2", "MI", "en", "abbreviation"),
            *(("D:2", f"leak {i}", "en", "exact") for i in range(20)),
        ],
    )
    build_graph(rows, tmp_path / "built")
    known = {term: (is_short, names) for term, is_short, names in known_synonyms(BuiltGraph.open(tmp_path / "built"))}
    assert known["heart attack"] == (False, ["myocardial infarction", "mi", "ami"])
    assert known["ami"] == (True, ["myocardial infarction", "heart attack", "mi"])
    assert "mi" not in known, "it may be either"
    assert "coronary disease" not in known, "it is wider"
    assert "gout" not in known, "it has no other name"
    assert len(known["mitral insufficiency"][1]) == MOST
