"""Symptoms of diseases: the Disease Ontology's report `disease-symptom.tsv` with ids and labels of both."""

from pathlib import Path

from datagen.graph.labelled import labelled_concepts
from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph


def read_disease_symptom(path: Path) -> KnowledgeGraph:
    """Each row as a relation `has_symptom`; its ids and labels define both ends, should no other source do so."""
    rows = read_columns(path, ("disease_id", "disease_label", "symptom_id", "symptom_label")).to_pylist()
    concepts, terms = labelled_concepts(
        (row[f"{end}_id"], row[f"{end}_label"]) for end in ("disease", "symptom") for row in rows
    )
    relations = dict.fromkeys((row["disease_id"], "has_symptom", row["symptom_id"]) for row in rows)
    return KnowledgeGraph.from_rows(concepts, terms, relations=relations)
