import gzip
import json
import random
from pathlib import Path

import pytest

from datagen.graph.obo import read_obo

SHARED = Path(__file__).parents[3].parent / "shared/data/kg"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the open ontologies are not on this machine")

OBO = """format-version: 1.2
synonymtypedef: abbreviation "abbreviation"
default-namespace: kidney
ontology: kid

[Term]
id: KID:1
name: acute kidney injury
synonym: "acute renal failure" EXACT []
alt_id: KID:8
xref: UMLS_CUI:C0022660
xref: PMID:1234567
synonym: "AKI" EXACT abbreviation []
synonym: "kidney trouble" BROAD []
is_a: KID:2 ! kidney disease
is_a: KID:3
relationship: RO:0002452 KID:4
relationship: RO:0001025 UBERON:0002113

[Term]
id: KID:2
name: kidney disease

[Term]
id: KID:3
name: obsolete nephropathy
is_obsolete: true

[Term]
id: KID:4
name: oliguria
namespace: signs

[Typedef]
id: RO:0002452
name: has symptom

"""

_IRI = "http://purl.obolibrary.org/obo/KID_"
_HAS = "http://www.geneontology.org/formats/oboInOwl#"
JSON = {
    "graphs": [
        {
            "id": "http://purl.obolibrary.org/obo/kid.json",
            "nodes": [
                {
                    "id": _IRI + "1",
                    "lbl": "acute kidney injury",
                    "type": "CLASS",
                    "meta": {
                        "xrefs": [{"val": "UMLS_CUI:C0022660"}, {"val": "PMID:1234567"}],
                        "basicPropertyValues": [{"pred": _HAS + "hasAlternativeId", "val": "KID:8"}],
                        "synonyms": [
                            {"pred": "hasExactSynonym", "val": "acute renal failure"},
                            {"pred": "hasExactSynonym", "val": "AKI", "synonymType": "http://x/kid#abbreviation"},
                            {"pred": "hasBroadSynonym", "val": "kidney trouble"},
                        ],
                    },
                },
                {"id": _IRI + "2", "lbl": "kidney disease", "type": "CLASS"},
                {"id": _IRI + "3", "lbl": "obsolete", "type": "CLASS", "meta": {"deprecated": True}},
                {
                    "id": _IRI + "4",
                    "lbl": "oliguria",
                    "type": "CLASS",
                    "meta": {"basicPropertyValues": [{"pred": _HAS + "hasOBONamespace", "val": "signs"}]},
                },
            ],
            "edges": [
                {"sub": _IRI + "1", "pred": "is_a", "obj": _IRI + "2"},
                {"sub": _IRI + "1", "pred": "is_a", "obj": _IRI + "3"},
                {"sub": _IRI + "1", "pred": "http://purl.obolibrary.org/obo/RO_0002452", "obj": _IRI + "4"},
                {
                    "sub": _IRI + "1",
                    "pred": "http://purl.obolibrary.org/obo/RO_0001025",
                    "obj": "http://purl.obolibrary.org/obo/UBERON_0002113",
                },
            ],
        }
    ]
}


def write(path, data):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["kid.obo", "kid.obo.gz", "kid.json", "kid.json.gz"])
def test_both_forms_give_the_live_terms_with_synonyms_parents_and_relations(tmp_path, name):
    data = OBO if "obo" in name else json.dumps(JSON)
    graph = read_obo(write(tmp_path / name, data.encode()))
    assert [tuple(c.values()) for c in graph.concepts.to_pylist()] == [
        ("KID:1", "acute kidney injury", ["KID"]),
        ("KID:2", "kidney disease", ["KID"]),
        ("KID:4", "oliguria", ["signs"]),
    ]
    assert sorted((t["concept_id"], t["term"], t["scope"]) for t in graph.terms.to_pylist()) == [
        ("KID:1", "AKI", "abbreviation"),
        ("KID:1", "acute renal failure", "exact"),
        ("KID:1", "kidney trouble", "broad"),
    ]
    assert graph.is_a.to_pylist() == [{"child": "KID:1", "parent": "KID:2"}]
    assert sorted(tuple(row.values()) for row in graph.relations.to_pylist()) == [
        ("KID:1", "RO:0001025", "UBERON:0002113"),
        ("KID:1", "RO:0002452", "KID:4"),
    ]
    assert sorted(row["xref"] for row in graph.xrefs.to_pylist()) == ["KID:8", "UMLS:C0022660"]


def test_broken_references_of_a_definition_or_synonym_do_not_matter(tmp_path):
    broken = OBO.replace("EXACT []", "EXACT [orcid.org/0000-0001; https://x.org/a]")
    graph = read_obo(write(tmp_path / "a.obo", broken.encode()))
    assert ("KID:1", "acute renal failure") in {(t["concept_id"], t["term"]) for t in graph.terms.to_pylist()}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.obo", b"", "the file is empty"),
        ("a.obo", b"once upon a time\n", "not valid OBO at line 1"),
        ("a.obo", OBO.encode()[:700].rpartition(b"\n")[0] + b"\nname", "not valid OBO at line"),
        ("a.obo", OBO.partition("[Term]\nid: KID:3")[0].encode(), "KID:1 is_a KID:3, which the file does not"),
        ("a.obo", (OBO + "[Term]\nid: KID:9\n").encode(), "KID:9 has no name"),
        ("a.obo", OBO.partition("[Term]")[0].encode(), "holds no terms"),
        ("a.obo", b"\x89PNG\r\n\x1a\n", "not UTF-8 at byte 0"),
        ("a.json", json.dumps(JSON).encode()[:900], "the JSON breaks off"),
        ("a.json", b'{"resourceType": "Bundle"}', "JSON, but not an OBO graph"),
        ("a.json", b'{"graphs": [{"nodes": [{"id": 5}], "edges": []}]}', "cannot be parsed as OBO"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, data, message):
    path = write(tmp_path / name, data)
    with pytest.raises(ValueError, match=message) as error:
        read_obo(path)
    assert str(path) in str(error.value)


def test_a_truncated_gzip_and_a_missing_file_are_named(tmp_path):
    path = tmp_path / "a.obo.gz"
    path.write_bytes(gzip.compress(OBO.encode())[:-20])
    with pytest.raises(ValueError, match=r"a\.obo\.gz: the gzip data is cut or damaged"):
        read_obo(path)
    with pytest.raises(ValueError, match=r"b\.obo: cannot be read"):
        read_obo(tmp_path / "b.obo")


@needs_shared
def test_the_symptom_ontology_is_read_whole_and_refused_when_cut_anywhere(tmp_path):
    raw = gzip.decompress((SHARED / "symp.obo.gz").read_bytes())
    graph = read_obo(SHARED / "symp.obo.gz")
    assert graph.concepts.num_rows == raw.count(b"[Term]") - raw.count(b"is_obsolete: true")
    draw = random.Random(0)
    line_ends = [place + 1 for place, byte in enumerate(raw[: int(len(raw) * 0.99)]) if byte == ord("\n")]
    for cut in draw.sample(range(len(raw) - 2), 20) + draw.sample(line_ends, 20):
        with pytest.raises(ValueError, match=r"cut\.obo"):
            read_obo(write(tmp_path / "cut.obo", raw[:cut]))


@needs_shared
@pytest.mark.parametrize(("name", "concepts"), [("doid.obo.gz", 11501), ("hp.json.gz", 16874)])
def test_the_large_open_ontologies_are_read_whole(name, concepts):
    assert read_obo(SHARED / name).concepts.num_rows == concepts
