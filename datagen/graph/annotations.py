"""Tables about the concepts of ontologies, a statement a row: relations, xrefs, mappings, translations.

    hpoa             phenotypes of rare diseases, `phenotype.hpoa` of the Human Phenotype Ontology, with the header of
                     2023 and before (`#DatabaseID`) or after (`database_id`):
                     https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/
    disease_symptom  the Disease Ontology's report `disease-symptom.tsv`
    xrefs            the Disease Ontology's report `allXREFinDO.tsv`
    sssom            mappings between vocabularies: https://mapping-commons.github.io/sssom/
    babelon          translations: https://github.com/monarch-initiative/babelon

Where ids have labels, they define concepts, should no other source do so or the ontology at hand be older.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.curies import normalise
from datagen.graph.grouping import Column, renamed
from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_RELATIONS = {
    "P": "has_phenotype",
    "I": "has_inheritance",
    "C": "has_clinical_course",
    "M": "has_clinical_modifier",
    "H": "has_past_medical_history",
}
"""What an annotation says, by its aspect."""
_SAME = ("skos:exactMatch", "owl:equivalentClass", "owl:sameAs")
_NAMES = ("rdfs:label", "oboInOwl:hasExactSynonym", "oio:hasExactSynonym")


def read_hpoa(path: Path) -> KnowledgeGraph:
    """Diseases by OMIM, ORPHA or DECIPHER id, and one relation per annotation, its type after the aspect.

    Rows with the qualifier NOT say that a disease goes without the phenotype; they are left out.
    """
    rows = read_columns(path, ("database_id", "disease_name", "qualifier", "hpo_id", "aspect"), quoted=False)
    disease, name, _, phenotype, aspect = rows.filter(pc.not_equal(rows["qualifier"], "NOT")).columns
    return _labelled((disease, name), relations=(disease, renamed(aspect, _RELATIONS), phenotype))


def read_disease_symptom(path: Path) -> KnowledgeGraph:
    """Each row as a relation `has_symptom` between the concepts that it labels."""
    columns = ("disease_id", "disease_label", "symptom_id", "symptom_label")
    disease, disease_label, symptom, symptom_label = read_columns(path, columns).columns
    labels = (disease, disease_label), (symptom, symptom_label)
    return _labelled(*labels, relations=(disease, "has_symptom", symptom))


def read_xrefs(path: Path) -> KnowledgeGraph:
    """Each row as an xref of the concept that it labels."""
    ids, labels, xrefs = read_columns(path, ("id", "label", "xref")).columns
    return _labelled((ids, labels), xrefs=(ids, normalise(xrefs)))


def read_sssom(path: Path) -> KnowledgeGraph:
    """Mappings to the same thing as xrefs; broader, narrower, close and denied ones (`Not`) are left out."""
    optional = ("subject_label", "predicate_modifier")
    rows = read_columns(path, ("subject_id", "predicate_id", "object_id"), optional=optional)
    same = pc.is_in(rows["predicate_id"], value_set=pa.array(_SAME))
    rows = rows.filter(pc.and_(same, pc.equal(rows["predicate_modifier"], "")))
    if not len(rows):
        raise ValueError(f"{path}: maps nothing to the same thing ({', '.join(_SAME)}); give an exact mapping")
    subjects = rows["subject_id"]
    return _labelled((subjects, rows["subject_label"]), xrefs=(subjects, normalise(rows["object_id"])))


def read_babelon(path: Path) -> KnowledgeGraph:
    """Translated labels and exact synonyms, where official, as terms of the concepts that another source defines."""
    columns = ("translation_language", "subject_id", "predicate_id", "translation_value", "translation_status")
    rows = read_columns(path, columns)
    is_name = pc.is_in(rows["predicate_id"], value_set=pa.array(_NAMES))
    official = pc.equal(pc.utf8_upper(rows["translation_status"]), "OFFICIAL")
    rows = rows.filter(pc.and_(pc.and_(is_name, official), pc.not_equal(rows["translation_value"], "")))
    if not len(rows):
        raise ValueError(f"{path}: holds no official translation of a name; give a release, not a draft")
    language, concept, _, name, _ = rows.columns
    return KnowledgeGraph.from_columns(terms=(concept, name, language, "exact"))


def _labelled(*labels: tuple[Column, Column], **tables: tuple[Any, ...]) -> KnowledgeGraph:
    """Tables, and the concepts of columns of ids and labels: the first label of an id is preferred, others are terms.

    The semantic type of a concept is the prefix of its id.
    """
    names: dict[str, dict[str, None]] = {}
    for columns in labels:
        for concept, label in zip(*(column.to_pylist() for column in columns), strict=True):
            if label:
                names.setdefault(concept, {})[label] = None
    named = KnowledgeGraph.from_rows(
        concepts=[(concept, next(iter(of_it)), [concept.partition(":")[0]]) for concept, of_it in names.items()],
        terms=[(concept, name, "en", "exact") for concept, of_it in names.items() for name in list(of_it)[1:]],
    )
    return replace(KnowledgeGraph.from_columns(**tables), concepts=named.concepts, terms=named.terms)
