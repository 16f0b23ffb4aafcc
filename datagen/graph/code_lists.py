"""Lists of codes and names as CSV.

    icd10cm   categories of ICD-10-CM, code and title without a header: https://github.com/k4m1113/ICD-10-CSV
    atc       the Anatomical Therapeutic Chemical classification, atc_code and atc_name: https://github.com/fabkury/atcd
    drugbank  DrugBank's open vocabulary (CC0): https://go.drugbank.com/releases/latest#open-data

Codes of a classification lie below the longest that they begin with.
"""

from collections.abc import Container
from pathlib import Path

from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_CODE = r"[A-Z]\d[\dA-Z]{1,5}"
"""Of ICD-10-CM, as A010, without a dot."""
_TYPES = {
    "R": "symptom",
    **dict.fromkeys("ST", "injury or poisoning"),
    **dict.fromkeys("VWXY", "external cause"),
    "Z": "factor influencing health status",
}
"""By chapter, to tell diseases from causes."""
_SUBSTANCE_LENGTH = 7
_SAY_NOTHING_ALONE = ("combinations", "various", "others")
_IDENTIFIERS = {"CAS": "CAS", "UNII": "UNII", "Standard InChI Key": "INCHIKEY", "Accession Numbers": "DRUGBANK"}
"""Columns of DrugBank and the prefixes of what stands in them."""


def read_icd10cm(path: Path) -> KnowledgeGraph:
    """Each category with its title and parent; ids are `ICD10CM:` and the code with its dot."""
    header = ("code", "title")
    table = read_columns(path, header, header=header, delimiter=",", forms={"code": _CODE})
    rows = [row.values() for row in table.to_pylist()]
    id_of = {code: f"ICD10CM:{code[:3]}.{code[3:]}".rstrip(".") for code, _ in rows}
    return KnowledgeGraph.from_rows(
        concepts=[(id_of[code], title, [_TYPES.get(code[0], "disease")]) for code, title in rows],
        is_a=[(id_of[code], id_of[parent]) for code, _ in rows if (parent := _parent(code, id_of))],
    )


def read_atc(path: Path) -> KnowledgeGraph:
    """Classes and substances; a name that says nothing alone ("combinations") follows that of its class.

    A substance has a code for every use and a row for every dose. Here it is one concept: its first code is the id
    (`ATC:B01AC06`), the others are xrefs, and it lies below the classes of all of them.
    """
    rows = read_columns(path, ("atc_code", "atc_name"))
    name_of = dict(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    id_of_substance: dict[str, str] = {}
    concepts, xrefs = [], []
    is_a: dict[tuple[str, str], None] = {}
    for code in sorted(name_of):
        concept, name, semantic_type = f"ATC:{code}", " ".join(name_of[code].split()), "drug class"
        parent = _parent(code, name_of)
        if len(code) == _SUBSTANCE_LENGTH:
            if parent and name.lower().startswith(_SAY_NOTHING_ALONE):
                name = f"{name_of[parent]}, {name}"
            concept, semantic_type = id_of_substance.setdefault(name, concept), "drug"
        if concept == f"ATC:{code}":
            concepts.append((concept, name, [semantic_type]))
        else:
            xrefs.append((concept, f"ATC:{code}"))
        if parent:
            is_a[concept, f"ATC:{parent}"] = None
    return KnowledgeGraph.from_rows(concepts=concepts, is_a=is_a, xrefs=xrefs)


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


def _parent(code: str, known: Container[str]) -> str | None:
    """The longest shorter beginning of `code` that is itself a code."""
    return next((code[:end] for end in range(len(code) - 1, 0, -1) if code[:end] in known), None)


def _split(field: str) -> list[str]:
    """The parts of a list within a field of DrugBank."""
    return [part.strip() for part in field.split(" | ") if part.strip()]
