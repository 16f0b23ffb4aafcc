"""DrugBank's open vocabulary (CC0): a CSV with ids, names, synonyms and identifiers of substances.

Format: https://go.drugbank.com/releases/latest#open-data. Lists within a field are split at ` | `.
"""

from pathlib import Path

from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_IDENTIFIERS = {"CAS": "CAS", "UNII": "UNII", "Standard InChI Key": "INCHIKEY", "Accession Numbers": "DRUGBANK"}


def read_drugbank(path: Path) -> KnowledgeGraph:
    """Each substance with its synonyms; CAS, UNII, InChI key and former accession numbers are its xrefs."""
    rows = read_columns(path, ("DrugBank ID", "Common name", "Synonyms"), optional=tuple(_IDENTIFIERS)).to_pylist()
    ids = [f"DRUGBANK:{row['DrugBank ID']}" for row in rows]
    return KnowledgeGraph.from_rows(
        concepts=[(concept, row["Common name"], ["drug"]) for concept, row in zip(ids, rows, strict=True)],
        terms=[
            (concept, synonym, "en", "exact")
            for concept, row in zip(ids, rows, strict=True)
            for synonym in dict.fromkeys(_split(row["Synonyms"]))
            if synonym != row["Common name"]
        ],
        xrefs=[
            (concept, f"{prefix}:{value}")
            for concept, row in zip(ids, rows, strict=True)
            for column, prefix in _IDENTIFIERS.items()
            for value in _split(row[column])
        ],
    )


def _split(field: str) -> list[str]:
    return [part.strip() for part in field.split(" | ") if part.strip()]
