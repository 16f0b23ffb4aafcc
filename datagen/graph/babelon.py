"""Translations of an ontology in Babelon/TSV (https://github.com/monarch-initiative/babelon)."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import distinct
from datagen.graph.source_files import read_columns
from datagen.graph.tables import TERMS_SCHEMA, KnowledgeGraph

_NAMES = ("rdfs:label", "oboInOwl:hasExactSynonym", "oio:hasExactSynonym")


def read_babelon(path: Path) -> KnowledgeGraph:
    """Translated labels and exact synonyms, where official, as terms of the concepts that another source defines."""
    rows = read_columns(
        path, ("translation_language", "subject_id", "predicate_id", "translation_value", "translation_status")
    )
    is_name = pc.is_in(rows["predicate_id"], value_set=pa.array(_NAMES))
    official = pc.equal(pc.utf8_upper(rows["translation_status"]), "OFFICIAL")
    rows = rows.filter(pc.and_(pc.and_(is_name, official), pc.not_equal(rows["translation_value"], "")))
    if not len(rows):
        raise ValueError(f"{path}: holds no official translation of a name; give a release, not a draft")
    exact = pa.array(["exact"] * len(rows))
    columns = [rows["subject_id"], rows["translation_value"], rows["translation_language"], exact]
    return KnowledgeGraph(terms=distinct(pa.table(columns, schema=TERMS_SCHEMA)))
