"""DrugBank's open vocabulary (CC0): a CSV with ids, names, synonyms and identifiers of substances.

Format: https://go.drugbank.com/releases/latest#open-data. Lists within a field are split at ` | `.
"""

from pathlib import Path

from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_IDENTIFIERS = {"CAS": "CAS", "UNII": "UNII", "Standard InChI Key": "INCHIKEY", "Accession Numbers": "DRUGBANK"}


def read_drugbank(path: Path) -> KnowledgeGraph:
    """Each substance with its synonyms; CAS, UNII, InChI key and former accession numbers are its xrefs."""
    concepts, terms, xrefs = [], [], []
    for row in read_columns(path, ("DrugBank ID", "Common name", "Synonyms"), optional=tuple(_IDENTIFIERS)).to_pylist():
        concept, name = f"DRUGBANK:{row['DrugBank ID']}", row["Common name"]
        concepts.append((concept, name, ["drug"]))
        synonyms = dict.fromkeys(_split(row["Synonyms"]))
        terms += [(concept, synonym, "en", "exact") for synonym in synonyms if synonym != name]
        for column, prefix in _IDENTIFIERS.items():
            xrefs += [(concept, f"{prefix}:{value}") for value in _split(row[column])]
    return KnowledgeGraph.from_rows(concepts, terms, xrefs=xrefs)


def _split(field: str) -> list[str]:
    return [part.strip() for part in field.split(" | ") if part.strip()]
