"""Sources that add to the concepts of others: relations, xrefs, translations, drugs' identifiers."""

import pytest

from datagen.graph.annotations import read_babelon, read_disease_symptom, read_hpoa, read_sssom, read_xrefs
from datagen.graph.code_lists import read_drugbank


def rows(table):
    return sorted(tuple(row.values()) for row in table.to_pylist())


def write(tmp_path, text):
    (tmp_path / "file.tsv").write_text(text)
    return tmp_path / "file.tsv"


DRUGBANK = (
    "DrugBank ID,Accession Numbers,Common name,CAS,UNII,Synonyms,Standard InChI Key\n"
    "DB00002,BIOD00071 | DB00099,Cetuximab,205923-56-4,,Cetuximab | Cétuximab | Chimeric MoAb C225,\n"
)


def test_drugbank_splits_lists_and_keeps_identifiers_as_xrefs(tmp_path):
    graph = read_drugbank(write(tmp_path, DRUGBANK))
    assert rows(graph.concepts) == [("DRUGBANK:DB00002", "Cetuximab", ["drug"])]
    assert [row[1] for row in rows(graph.terms)] == ["Chimeric MoAb C225", "Cétuximab"]
    assert [row[1] for row in rows(graph.xrefs)] == ["CAS:205923-56-4", "DRUGBANK:BIOD00071", "DRUGBANK:DB00099"]


def test_symptoms_of_diseases_are_relations_between_labelled_concepts(tmp_path):
    text = "disease_id\tdisease_label\tsymptom_id\tsymptom_label\n" + "DOID:1\tflu\tSYMP:1\tfever\n" * 2
    graph = read_disease_symptom(write(tmp_path, text))
    assert rows(graph.relations) == [("DOID:1", "has_symptom", "SYMP:1")]
    assert rows(graph.concepts) == [("DOID:1", "flu", ["DOID"]), ("SYMP:1", "fever", ["SYMP"])]


@pytest.mark.parametrize(
    "header", ["#DatabaseID\tDiseaseName\tQualifier\tHPO_ID", "database_id\tdisease_name\tqualifier\thpo_id"]
)
def test_phenotypes_are_relations_by_aspect_and_denied_ones_are_left_out(tmp_path, header):
    text = (
        f"#description: annotations\n{header}\tAspect\n"
        "OMIM:1\tSyndrome 1\t\tHP:0001\tP\n"
        "OMIM:1\tSyndrome one\t\tHP:0002\tI\n"
        'OMIM:1\tSyndrome 1\tNOT\tHP:0003\tP\nORPHA:2\tThe "rare" one\t\tHP:0001\tX\n'
    )
    graph = read_hpoa(write(tmp_path, text))
    assert rows(graph.relations) == [
        ("OMIM:1", "has_inheritance", "HP:0002"),
        ("OMIM:1", "has_phenotype", "HP:0001"),
        ("ORPHA:2", "X", "HP:0001"),
    ]
    assert rows(graph.concepts) == [("OMIM:1", "Syndrome 1", ["OMIM"]), ("ORPHA:2", 'The "rare" one', ["ORPHA"])]
    assert rows(graph.terms) == [("OMIM:1", "Syndrome one", "en", "exact")]


def test_xrefs_are_written_alike_and_literature_is_none(tmp_path):
    text = '"id"\t"label"\t"xref"\n'
    for xref in ("MIM:264300", "ORDO:752", "GARD:0005659", "SNOMEDCT_US_2025_09_01:702342007", "UMLS_CUI:C1", "PMID:7"):
        text += f'"DOID:1"\t"deficiency"\t"{xref}"\n'
    graph = read_xrefs(write(tmp_path, text))
    assert [row[1] for row in rows(graph.xrefs)] == [
        "GARD:5659",
        "OMIM:264300",
        "ORPHA:752",
        "SNOMEDCT:702342007",
        "UMLS:C1",
    ]
    assert rows(graph.concepts) == [("DOID:1", "deficiency", ["DOID"])]


SSSOM = """# mapping_set_id: x
subject_id\tsubject_label\tpredicate_id\tpredicate_modifier\tobject_id\tmapping_justification
MONDO:1\tdisease\tskos:exactMatch\t\tUMLS:C1\tsemapv:ManualMappingCuration
MONDO:1\tdisease\tskos:broadMatch\t\tUMLS:C2\tsemapv:ManualMappingCuration
MONDO:1\tdisease\tskos:exactMatch\tNot\tUMLS:C3\tsemapv:ManualMappingCuration
"""


def test_only_exact_mappings_that_are_not_denied_are_xrefs(tmp_path):
    graph = read_sssom(write(tmp_path, SSSOM))
    assert rows(graph.xrefs) == [("MONDO:1", "UMLS:C1")]
    assert rows(graph.concepts) == [("MONDO:1", "disease", ["MONDO"])]
    with pytest.raises(ValueError, match="maps nothing to the same thing"):
        read_sssom(write(tmp_path, SSSOM.replace("exactMatch", "closeMatch")))


BABELON = """source_language\ttranslation_language\tsubject_id\tsource_value\tpredicate_id\
\ttranslation_value\ttranslation_status
en\tes\tHP:1\tAll\trdfs:label\tTodos\tOFFICIAL
en\tes\tHP:1\tdefined\tIAO:0000115\tdefinido\tOFFICIAL
en\tes\tHP:2\tKidney\trdfs:label\triñón\tCANDIDATE
en\tes\tHP:3\tLiver\trdfs:label\t\tOFFICIAL
"""


def test_official_translations_of_names_are_terms_of_concepts_defined_elsewhere(tmp_path):
    graph = read_babelon(write(tmp_path, BABELON))
    assert rows(graph.terms) == [("HP:1", "Todos", "es", "exact")]
    assert graph.concepts.num_rows == 0
    with pytest.raises(ValueError, match="no official translation"):
        read_babelon(write(tmp_path, BABELON.replace("OFFICIAL", "CANDIDATE")))


@pytest.mark.parametrize(
    ("read", "column"),
    [
        (read_drugbank, "Common name"),
        (read_disease_symptom, "symptom_id"),
        (read_hpoa, "aspect"),
        (read_xrefs, "xref"),
        (read_sssom, "object_id"),
        (read_babelon, "translation_value"),
    ],
)
def test_a_file_of_another_form_is_named(tmp_path, read, column):
    path = write(tmp_path, "a\tb\n1\t2\n")
    with pytest.raises(ValueError, match=rf"file\.tsv: no column .*{column}"):
        read(path)
