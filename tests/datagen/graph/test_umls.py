import gzip

import pytest

from datagen.graph.bad_rows import bad_rows
from datagen.graph.umls import read_umls


def line(width, **columns):
    """A line of RRF with the given values by place, counted from 0."""
    values = [""] * width
    for place, value in columns.items():
        values[int(place[1:])] = value
    return "|".join([*values, ""])


def atom(cui, name, ts="S", stt="VO", ispref="N", lat="ENG", sab="MTH", tty="SY", code="NOCODE", suppress="N"):
    return line(18, c0=cui, c1=lat, c2=ts, c4=stt, c6=ispref, c11=sab, c12=tty, c13=code, c14=name, c16=suppress)


def relation(cui1, rel, cui2, rela="", sab="MTH", suppress="N"):
    return line(16, c0=cui1, c3=rel, c4=cui2, c7=rela, c10=sab, c14=suppress)


MRCONSO = [
    atom("C1", "Kidney Failure, Acute", sab="MSH", tty="MH", code="D058186"),
    atom("C1", "acute kidney injury", ts="P", stt="PF", ispref="Y", sab="SNOMEDCT_US", tty="PT", code="14669001"),
    atom("C1", 'acute "renal" failure', sab="HPO", code="HP:0001919"),
    atom("C1", "AKI", sab="NCI", tty="AB", code="C26808"),
    atom("C1", "daño renal agudo", lat="SPA", ts="P", stt="PF", ispref="Y", sab="SCTSPA", tty="PT"),
    atom("C1", "old name", suppress="O"),
    atom("C2", "kidney disease", ts="P", stt="PF", ispref="Y"),
    atom("C3", "dialysis", ts="P", stt="PF", ispref="Y", sab="SNOMEDCT_US"),
    atom("C4", "solo en español", lat="SPA", ts="P", stt="PF", ispref="Y"),
]
MRREL = [
    relation("C1", "PAR", "C2"),
    relation("C2", "CHD", "C1"),
    relation("C2", "RN", "C3", rela="isa"),
    relation("C1", "RO", "C3", rela="treats"),
    relation("C2", "ZZ", "C1"),
    relation("C1", "CHD", "C3", rela="part_of"),
    relation("C1", "XR", "C2"),
    relation("C1", "RO", "C1"),
    relation("C1", "RO", "C2", suppress="O"),
]
MRSTY = [line(6, c0="C1", c3="Disease or Syndrome"), line(6, c0="C1", c3="Finding"), line(6, c0="C9", c3="Finding")]


@pytest.fixture
def folder(tmp_path):
    for name, lines in (("MRCONSO", MRCONSO), ("MRREL", MRREL), ("MRSTY", MRSTY)):
        (tmp_path / f"{name}.RRF").write_text("\n".join(lines) + "\n")
    return tmp_path


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_concepts_have_the_preferred_term_of_umls_and_the_other_names_by_scope(folder):
    graph = read_umls(folder)
    assert rows(graph.concepts) == [
        ("UMLS:C1", "acute kidney injury", ["Disease or Syndrome", "Finding"]),
        ("UMLS:C2", "kidney disease", []),
        ("UMLS:C3", "dialysis", []),
    ]
    assert rows(graph.terms) == [
        ("UMLS:C1", "AKI", "en", "abbreviation"),
        ("UMLS:C1", "Kidney Failure, Acute", "en", "exact"),
        ("UMLS:C1", 'acute "renal" failure', "en", "exact"),
    ]
    assert rows(graph.xrefs) == [
        ("UMLS:C1", "HP:0001919"),
        ("UMLS:C1", "MESH:D058186"),
        ("UMLS:C1", "NCIT:C26808"),
        ("UMLS:C1", "SNOMEDCT:14669001"),
    ]


def test_rela_decides_over_rel_and_both_say_what_the_second_concept_is_to_the_first(folder):
    graph = read_umls(folder)
    assert rows(graph.is_a) == [("UMLS:C1", "UMLS:C2"), ("UMLS:C3", "UMLS:C2")]
    assert rows(graph.relations) == [
        ("UMLS:C1", "ZZ", "UMLS:C2"),
        ("UMLS:C3", "part_of", "UMLS:C1"),
        ("UMLS:C3", "treats", "UMLS:C1"),
    ]


def test_the_first_language_names_a_concept_and_the_others_add_terms(folder):
    graph = read_umls(folder, languages=["es", "en"])
    assert dict(row[:2] for row in rows(graph.concepts)) == {
        "UMLS:C1": "daño renal agudo",
        "UMLS:C2": "kidney disease",
        "UMLS:C3": "dialysis",
        "UMLS:C4": "solo en español",
    }
    assert ("UMLS:C1", "acute kidney injury", "en", "exact") in rows(graph.terms)


def test_only_the_chosen_source_vocabularies_count(folder):
    (folder / "MRREL.RRF").write_text(relation("C1", "RO", "C3", sab="SNOMEDCT_US") + "\n" + relation("C1", "RO", "C2"))
    graph = read_umls(folder, sources=["SNOMEDCT_US"])
    assert [row[:2] for row in rows(graph.concepts)] == [("UMLS:C1", "acute kidney injury"), ("UMLS:C3", "dialysis")]
    assert rows(graph.relations) == [("UMLS:C3", "RO", "UMLS:C1")]


def test_a_source_without_relations_has_its_concepts(folder):
    graph = read_umls(folder, sources=["MSH"])
    assert [row[:2] for row in rows(graph.concepts)] == [("UMLS:C1", "Kidney Failure, Acute")]
    assert graph.is_a.num_rows == graph.relations.num_rows == 0


def test_a_short_row_and_one_that_is_not_utf8_do_not_cost_the_others(folder):
    expected = rows(read_umls(folder).concepts)
    names = [atom("C2", f"name {i}") for i in range(40)]
    bad = [atom("C5", "Ménière").encode("latin-1"), b"C5|ENG|P"]
    (folder / "MRCONSO.RRF").write_bytes(b"\n".join([*bad, *(name.encode() for name in (*MRCONSO, *names))]))
    with bad_rows() as found:
        assert rows(read_umls(folder).concepts) == expected
    assert [(row["row"], row["reason"]) for row in found.first] == [(1, "STR_not_utf8"), (2, "columns")]


@pytest.mark.parametrize("change", ["gzip", "CRLF", "BOM"])
def test_other_writings_of_the_same_files_read_alike(folder, change):
    expected = rows(read_umls(folder).terms)
    for path in list(folder.iterdir()):
        data = path.read_bytes()
        if change == "gzip":
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
            path.unlink()
        else:
            path.write_bytes(data.replace(b"\n", b"\r\n") if change == "CRLF" else b"\xef\xbb\xbf" + data)
    assert rows(read_umls(folder).terms) == expected


def test_what_cannot_be_used_is_named(folder):
    with pytest.raises(ValueError, match="no name in the languages fr"):
        read_umls(folder, languages=["fr"])
    with pytest.raises(ValueError, match="no name in the languages en of the sources ICD10CM"):
        read_umls(folder, sources=["ICD10CM"])
    (folder / "MRSTY.RRF").unlink()
    with pytest.raises(ValueError, match="holds no file mrsty; give the folder"):
        read_umls(folder)
    (folder / "MRCONSO.RRF").write_text("\n".join(MRCONSO)[:-9])
    with pytest.raises(ValueError, match=r"MRCONSO\.RRF: 1 of 9 rows .* row 9 \(columns\)"):
        read_umls(folder)
