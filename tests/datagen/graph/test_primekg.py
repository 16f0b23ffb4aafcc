import pytest

from datagen.graph.primekg import read_primekg

NODES = """node_index,node_id,node_type,node_name,node_source
0,1919,effect/phenotype,Acute kidney injury,HPO
1,"13924_12592",disease,"nephropathy, grouped",MONDO_grouped
2,DB00563,drug,Methotrexate,DrugBank
3,9796,gene/protein,PHYHIP,NCBI
4,D000077,exposure,Acetates,CTD
5,1106,disease,kidney failure,MONDO
"""
EDGES = """relation,display_relation,x_index,y_index
contraindication,contraindication,2,5
contraindication,contraindication,5,2
disease_disease,parent-child,5,1
disease_disease,parent-child,1,5
disease_phenotype_positive,phenotype present,5,0
disease_phenotype_negative,phenotype absent,1,0
"""
KG = """relation,display_relation,x_index,x_id,x_type,x_name,x_source,y_index,y_id,y_type,y_name,y_source
drug_effect,side effect,2,DB00563,drug,Methotrexate,DrugBank,0,1919,effect/phenotype,Acute kidney injury,HPO
drug_effect,side effect,0,1919,effect/phenotype,Acute kidney injury,HPO,2,DB00563,drug,Methotrexate,DrugBank
"""


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


@pytest.mark.parametrize("ending", ["csv", "tab"])
def test_nodes_have_ids_that_join_with_other_sources(tmp_path, ending):
    for name, text in (("nodes", NODES), ("edges", EDGES)):
        written = text if ending == "csv" else text.replace("nephropathy, ", "nephropathy ").replace(",", "\t")
        (tmp_path / f"{name}.{ending}").write_text(written)
    graph = read_primekg(tmp_path)
    assert [row[0] for row in rows(graph.concepts)] == [
        "DRUGBANK:DB00563",
        "HP:0001919",
        "MESH:D000077",
        "MONDO:0001106",
        "MONDO_GROUPED:13924_12592",
        "NCBIGENE:9796",
    ]
    assert ("HP:0001919", "Acute kidney injury", ["effect/phenotype"]) in rows(graph.concepts)
    assert rows(graph.relations) == [
        ("DRUGBANK:DB00563", "contraindication", "MONDO:0001106"),
        ("MONDO:0001106", "contraindication", "DRUGBANK:DB00563"),
        ("MONDO:0001106", "parent-child", "MONDO_GROUPED:13924_12592"),
        ("MONDO:0001106", "phenotype present", "HP:0001919"),
        ("MONDO_GROUPED:13924_12592", "parent-child", "MONDO:0001106"),
    ]
    assert graph.is_a.num_rows == 0


def test_the_one_file_gives_the_same_as_the_two(tmp_path):
    (tmp_path / "kg.csv").write_text(KG)
    for path in (tmp_path, tmp_path / "kg.csv"):
        graph = read_primekg(path)
        assert [row[0] for row in rows(graph.concepts)] == ["DRUGBANK:DB00563", "HP:0001919"]
        assert rows(graph.relations) == [
            ("DRUGBANK:DB00563", "side effect", "HP:0001919"),
            ("HP:0001919", "side effect", "DRUGBANK:DB00563"),
        ]


def test_files_of_two_releases_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "nodes.csv").write_text(NODES)
    with pytest.raises(ValueError, match="holds no file edges"):
        read_primekg(tmp_path)
    (tmp_path / "edges.csv").write_text(EDGES + "ppi,ppi,3,77\n")
    with pytest.raises(ValueError, match=r"edges\.csv: 1 of 7 rows cannot be used, the first is row 8 \(y_index\)"):
        read_primekg(tmp_path)
