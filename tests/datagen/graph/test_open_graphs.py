"""Every open file of shared/data/kg through its reader and into one graph."""

from pathlib import Path

import pytest

from datagen.graph.settings import GraphSettings

SHARED = Path(__file__).parents[3].parent / "shared/data/kg"
FORMATS = {
    "doid.obo.gz": "obo",
    "hp.json.gz": "obo",
    "symp.obo.gz": "obo",
    "hp.obo.gz": "obo",
    "drugbank_vocabulary.csv.gz": "drugbank",
    "atc_ddd.csv.gz": "atc",
    "icd10cm_2018_categories.csv.gz": "icd10cm",
    "icd9cm_vol3_procedures.json.gz": "icd9_procedures",
    "icd10pcs_tables_2020.xml.gz": "icd10pcs",
    "phenotype.hpoa.gz": "hpoa",
    "doid_disease_symptom.tsv.gz": "disease_symptom",
    "doid_xrefs.tsv.gz": "xrefs",
    "mondo_exactmatch_umls.sssom.tsv.gz": "sssom",
    "hp-es.babelon.tsv.gz": "babelon",
    "clinical_abbreviations.csv.gz": "abbreviations",
    "adam_abbreviations.tsv.gz": "abbreviations",
}
EXPECTED = {
    "DX:0117": ["DOID:3021", "HP:0001919", "MONDO:0002492", "SYMP:0000623", "MESH:D058186"],
    "RX:0004": ["DRUGBANK:DB00331", "ATC:A10BA02", "CAS:657-24-9"],
}
"""Acute kidney injury and metformin of the built-in graph, and what the other sources call them."""


@pytest.mark.skipif(not SHARED.exists(), reason="the open knowledge graphs are not on this machine")
def test_every_open_file_goes_into_one_graph():
    assert {path.name for path in SHARED.glob("*.gz")} == FORMATS.keys()
    sources = [{"format": "builtin"}, *({"format": f, "path": SHARED / name} for name, f in FORMATS.items())]
    graph, report = GraphSettings(sources=sources).read()
    graph.check()
    xrefs = set(zip(graph.xrefs["concept_id"].to_pylist(), graph.xrefs["xref"].to_pylist(), strict=True))
    for concept, others in EXPECTED.items():
        assert {(concept, other) for other in others} <= xrefs
    assert report["joined_by_xref"] > 10_000
    assert report["joined_by_name"] > 10_000
    assert report["dropped"]["terms_of_unknown_concepts"] < 3_000
    assert report["dropped"]["relations_of_unknown_concepts"] == 0
