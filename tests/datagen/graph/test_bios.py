import gzip

import pytest

from datagen.graph.bios import read_bios

V1 = {
    "Concepts 2021-11-05.txt": 'cid\ttid\tstr\nC01\tT01\theart failure\nC01\tT02\t"weak" heart\nC02\tT03\tdigoxin\n',
    "Semtypes 2021-11-05.txt": "cid\tsty\nC01\tDisease or Syndrome|Finding\nC02\tChemical or Drug\nC09\tFinding\n",
    "Relations 2021-11-05.txt": "cid1\trel\tcid2\nC02\tmay treat\tC01\nC02\tis a\tC01\nC02\tis a\tC01\n",
}
V3 = {
    "terms.tsv": (
        "cid\ttid\tstr\ttty\tlang\n"
        "CN00000001\tT1\tcardiac failure\tSY\tENG\n"
        "CN00000001\tT2\theart failure\tPT\tENG\n"
        "CN00000001\tT3\t心力衰竭\tPT\tCHS\n"
        "CN00000002\tT4\t地高辛\tPT\tCHS\n"
    ),
    "types.tsv": "cid\tsemantic_types\nCN00000001\tDisease or Syndrome\n",
    "triplets.tsv": "head_cid\thead_tid\trelation\ttail_cid\ttail_tid\nCN00000002\tT4\ttreats\tCN00000001\tT2\n",
}


def written(folder, files):
    for name, text in files.items():
        data = text.encode()
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_version_1_has_the_first_name_as_preferred_term(tmp_path):
    graph = read_bios(written(tmp_path, V1))
    assert rows(graph.concepts) == [
        ("BIOS:C01", "heart failure", ["Disease or Syndrome", "Finding"]),
        ("BIOS:C02", "digoxin", ["Chemical or Drug"]),
    ]
    assert rows(graph.terms) == [("BIOS:C01", '"weak" heart', "en", "exact")]
    assert rows(graph.is_a) == [("BIOS:C02", "BIOS:C01")]
    assert rows(graph.relations) == [("BIOS:C02", "may_treat", "BIOS:C01")]


def test_version_3_marks_preferred_terms_and_languages(tmp_path):
    graph = read_bios(written(tmp_path, V3))
    assert rows(graph.concepts) == [("BIOS:CN00000001", "heart failure", ["Disease or Syndrome"])]
    assert rows(graph.terms) == [("BIOS:CN00000001", "cardiac failure", "en", "exact")]
    both = read_bios(tmp_path, languages=["zh", "en"])
    assert [row[1] for row in rows(both.concepts)] == ["心力衰竭", "地高辛"]
    assert ("BIOS:CN00000001", "heart failure", "en", "exact") in rows(both.terms)
    assert rows(both.relations) == [("BIOS:CN00000002", "treats", "BIOS:CN00000001")]


@pytest.mark.parametrize("change", [str.encode, lambda text: text.replace("\n", "\r\n").encode("utf-8-sig")])
def test_gzip_byte_order_marks_and_other_line_ends_change_nothing(tmp_path, change):
    for name, text in V1.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(change(text)))
    assert read_bios(tmp_path).concepts.num_rows == 2


@pytest.mark.parametrize("name", V1)
def test_a_missing_table_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=r"no file with the header of BIOS (terms|semantic types|relations)"):
        read_bios(written(tmp_path, {other: text for other, text in V1.items() if other != name}))


def test_a_cut_file_and_a_language_that_is_not_there_are_named(tmp_path):
    written(tmp_path, V1)
    with pytest.raises(ValueError, match="no name in the languages zh"):
        read_bios(tmp_path, languages=["zh"])
    written(tmp_path, {"Relations 2021-11-05.txt": V1["Relations 2021-11-05.txt"].rpartition("\t")[0]})
    with pytest.raises(ValueError, match=r"Relations 2021-11-05.txt: 1 of 3 rows .* row 4 \(columns\)"):
        read_bios(tmp_path)


def test_tables_of_one_kind_go_together_though_their_columns_differ_and_other_files_do_not_count(tmp_path):
    written(tmp_path, V1)
    more = {
        "terms_b.tsv": "str\tlang\tcid\ttid\ninsulina\tSPA\tC03\tT04\ninsulin\tENG\tC03\tT05\n",
        "types_b.csv.gz": "cid\tsemantic_types\nC03\tChemical or Drug\n",
        "relations_b.tsv": "subject\tobject\trelation\nC03\tC01\tmay treat\n",
        "README.txt": "BIOS\n",
    }
    written(tmp_path, more)
    (tmp_path / "LICENSE.pdf").write_bytes(b"%PDF-1.7\n\xe2\xe3\xcf\xd3")
    (tmp_path / "authors.txt").write_bytes("José\n".encode("latin-1"))
    graph = read_bios(tmp_path)
    assert rows(graph.concepts)[1:] == [
        ("BIOS:C02", "digoxin", ["Chemical or Drug"]),
        ("BIOS:C03", "insulin", ["Chemical or Drug"]),
    ]
    assert rows(graph.relations) == [("BIOS:C02", "may_treat", "BIOS:C01"), ("BIOS:C03", "may_treat", "BIOS:C01")]
