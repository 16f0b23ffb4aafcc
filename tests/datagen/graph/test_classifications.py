import json

import pytest

from datagen.graph.code_lists import read_atc, read_icd10cm
from datagen.graph.icd9_procedures import read_icd9_procedures, split_terms
from datagen.graph.icd10pcs import read_icd10pcs


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


def test_icd10cm_codes_get_their_dot_and_lie_below_the_longest_code_they_begin_with(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_bytes(
        b'\xef\xbb\xbfA01,"Typhoid, and more"\r\nA0102,"Typhoid heart"\r\nR11,"Nausea"\r\nV761,"Hit"\r\nZ00,"Check"\r\n'
    )
    graph = read_icd10cm(path)
    assert rows(graph.concepts) == [
        ("ICD10CM:A01", "Typhoid, and more", ["disease"]),
        ("ICD10CM:A01.02", "Typhoid heart", ["disease"]),
        ("ICD10CM:R11", "Nausea", ["symptom"]),
        ("ICD10CM:V76.1", "Hit", ["external cause"]),
        ("ICD10CM:Z00", "Check", ["factor influencing health status"]),
    ]
    assert rows(graph.is_a) == [("ICD10CM:A01.02", "ICD10CM:A01")]


def test_a_substance_with_several_atc_codes_is_one_concept_below_all_its_classes(tmp_path):
    path = tmp_path / "atc.csv"
    path.write_text(
        "atc_code,atc_name,ddd\nA,ALIMENTARY TRACT,NA\nA01,STOMATOLOGICALS,NA\nA01AA01,sodium fluoride,1.1\n"
        "A01AA01,sodium fluoride,2\nB,BLOOD,NA\nB01AA09,sodium fluoride,NA\nA01AA30,combinations,NA\n"
    )
    graph = read_atc(path)
    assert rows(graph.concepts) == [
        ("ATC:A", "ALIMENTARY TRACT", ["drug class"]),
        ("ATC:A01", "STOMATOLOGICALS", ["drug class"]),
        ("ATC:A01AA01", "sodium fluoride", ["drug"]),
        ("ATC:A01AA30", "STOMATOLOGICALS, combinations", ["drug"]),
        ("ATC:B", "BLOOD", ["drug class"]),
    ]
    assert rows(graph.is_a) == [
        ("ATC:A01", "ATC:A"),
        ("ATC:A01AA01", "ATC:A01"),
        ("ATC:A01AA01", "ATC:B"),
        ("ATC:A01AA30", "ATC:A01"),
    ]
    assert rows(graph.xrefs) == [("ATC:A01AA01", "ATC:B01AA09")]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Laparoscopy Peritoneoscopy", ["Laparoscopy", "Peritoneoscopy"]),
        ("Ligation of: sinus meningeal artery", ["Ligation of"]),
        ("Insertion of  Denver shunt", ["Insertion of Denver shunt"]),
        ("Heart monitoring Wedge [PCW] monitoring Swan-Ganz catheterization",
         ["Heart monitoring", "Wedge [PCW] monitoring", "Swan-Ganz catheterization"]),
        ("Repair of valve, NOS That with prosthetic", ["Repair of valve"]),
        ("Hip replacement Code also any bearing (00.74)", ["Hip replacement"]),
        ("Other", []),
    ],
)  # fmt: skip
def test_titles_and_inclusion_terms_are_told_apart(text, terms):
    assert split_terms(text) == terms


def test_icd9_procedures_have_narrow_inclusion_terms_unless_several_share_them(tmp_path):
    path = tmp_path / "icd9.json"
    texts = {"54.21": "Laparoscopy Peritoneoscopy Device testing", "37.94": "Implantation Device testing"}
    path.write_text(json.dumps([{"icd_code_pcs": code, "procedure_desc": text} for code, text in texts.items()]))
    graph = read_icd9_procedures(path)
    assert rows(graph.concepts) == [
        ("ICD9CM:37.94", "Implantation", ["procedure"]),
        ("ICD9CM:54.21", "Laparoscopy", ["procedure"]),
    ]
    assert rows(graph.terms) == [("ICD9CM:54.21", "Peritoneoscopy", "en", "narrow")]


PCS = """<?xml version="1.0" encoding="utf-8"?>
<ICD10PCS.tabular><pcsTable>
  <axis pos="1" values="1"><title>Section</title><label code="{section}">Section</label></axis>
  <axis pos="2" values="1"><title>Body System</title><label code="T">Urinary System</label></axis>
  <axis pos="3" values="1"><title>Operation</title><label code="B">{operation}</label></axis>
  <pcsRow codes="1">
    <axis pos="4" values="1">
      <title>{part}</title><label code="0">Kidney, Right</label><label code="B">Bladder</label>
    </axis>
    <axis pos="5" values="1"><title>Approach</title><label code="0">Open</label></axis>
  </pcsRow>
</pcsTable></ICD10PCS.tabular>"""


def test_icd10pcs_names_operations_on_body_parts_as_they_are_said(tmp_path):
    path = tmp_path / "pcs.xml"
    path.write_text(PCS.format(section="0", operation="Excision", part="Body Part"))
    graph = read_icd10pcs(path)
    assert rows(graph.concepts) == [
        ("ICD10PCS:0TB", "Excision, Urinary System", ["procedure"]),
        ("ICD10PCS:0TB0", "Excision of Right Kidney", ["procedure"]),
        ("ICD10PCS:0TBB", "Excision of Bladder", ["procedure"]),
    ]
    assert ("ICD10PCS:0TB0", "Right Kidney Excision", "en", "exact") in rows(graph.terms)
    assert rows(graph.is_a) == [("ICD10PCS:0TB0", "ICD10PCS:0TB"), ("ICD10PCS:0TBB", "ICD10PCS:0TB")]


def test_an_operation_with_a_short_name_is_known_by_both(tmp_path):
    path = tmp_path / "pcs.xml"
    path.write_text(PCS.format(section="B", operation="Computerized Tomography (CT Scan)", part="Body Part"))
    names = [row["term"] for row in read_icd10pcs(path).terms.to_pylist() if row["concept_id"] == "ICD10PCS:BTBB"]
    assert {"CT Scan of Bladder", "CT of Bladder", "Bladder CT"} <= set(names)


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (read_icd10pcs, PCS[:300], "the XML breaks off"),
        (read_icd10pcs, "<a><pcsTable/></a>", "a table without section"),
        (read_icd10pcs, "<a><pcsTable><axis/><axis/><axis/></pcsTable></a>", "a table without section"),
        (read_icd10pcs, PCS.format(section="3", operation="Transfusion", part="Region"), "no tables with body parts"),
        (read_icd9_procedures, '[{"icd_code_pcs": "5', "the JSON breaks off"),
        (read_icd9_procedures, '{"a": 1}', "not a list of icd_code_pcs"),
        (read_icd9_procedures, "[]", "holds no procedures"),
        (read_atc, "code,name\nA,x\n", "no column atc_code, atc_name"),
        (read_icd10cm, "A01,Typhoid\nA01.0,Typhoid fever\n", r"row 2 \(code\)"),
        (read_icd10cm, "code,title\nA01,Typhoid\n", r"row 1 \(code\)"),
        (read_icd10cm, "", "the file is empty"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, read, data, message):
    path = tmp_path / "file"
    path.write_text(data)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
