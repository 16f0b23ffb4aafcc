from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from datagen.siblings import MOST, siblings


def built(tmp_path, is_a, names):
    rows = KnowledgeGraph.from_rows(
        concepts=[(name, name.lower(), []) for name in names], terms=[], is_a=is_a, relations=[]
    )
    build_graph(rows, tmp_path / "built")
    return BuiltGraph.open(tmp_path / "built")


def test_siblings_share_a_parent_and_are_not_above_or_below(tmp_path):
    is_a = [("A", "P"), ("B", "P"), ("C", "Q"), ("B", "Q"), ("D", "P"), ("D", "A")]
    graph = built(tmp_path, is_a, "ABCDPQ")
    concepts = ["A", "B", "C", "D", "unknown"]
    assert [[concepts[at] for at in near] for near in siblings(graph, concepts)] == [
        ["B"],
        ["A", "D", "C"],
        ["B"],
        ["B"],
        [],
    ]


def test_of_many_siblings_some_are_kept(tmp_path):
    names = [f"C{i}" for i in range(4 * MOST)]
    graph = built(tmp_path, [(name, "P") for name in names], [*names, "P"])
    near = siblings(graph, names)
    assert all(MOST / 2 < len(each) <= MOST for each in near)
    assert all(place not in each for place, each in enumerate(near))
