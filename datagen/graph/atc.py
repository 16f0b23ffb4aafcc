"""The Anatomical Therapeutic Chemical classification: a CSV with atc_code and atc_name, as https://github.com/fabkury/atcd.

A substance has a code for every use and a row for every dose. Here it is one concept: its first code is the id
(`ATC:B01AC06`), the others are xrefs, and it lies below the classes of all of them.
"""

from collections import defaultdict
from pathlib import Path

from datagen.graph.icd10cm import longest_prefix
from datagen.graph.source_files import read_columns
from datagen.graph.tables import KnowledgeGraph

_SUBSTANCE_LENGTH = 7
_SAY_NOTHING_ALONE = ("combinations", "various", "others")


def read_atc(path: Path) -> KnowledgeGraph:
    """Classes and substances; a name that says nothing alone ("combinations") follows that of its class."""
    rows = read_columns(path, ("atc_code", "atc_name"))
    name_of = dict(zip(rows["atc_code"].to_pylist(), rows["atc_name"].to_pylist(), strict=True))
    codes_of: dict[str, list[str]] = defaultdict(list)
    for code in sorted(name_of):
        name = " ".join(name_of[code].split())
        parent = longest_prefix(code, name_of)
        if name.lower().startswith(_SAY_NOTHING_ALONE) and parent and len(code) == _SUBSTANCE_LENGTH:
            name = f"{name_of[parent]}, {name}"
        codes_of[name if len(code) == _SUBSTANCE_LENGTH else f"{code} {name}"].append(code)
    concepts, is_a, xrefs = [], [], []
    for key, codes in codes_of.items():
        is_substance = len(codes[0]) == _SUBSTANCE_LENGTH
        concept = f"ATC:{codes[0]}"
        concepts.append(
            (concept, key if is_substance else key.partition(" ")[2], ["drug" if is_substance else "drug class"])
        )
        parents = dict.fromkeys(parent for code in codes if (parent := longest_prefix(code, name_of)))
        is_a += [(concept, f"ATC:{parent}") for parent in parents]
        xrefs += [(concept, f"ATC:{code}") for code in codes[1:]]
    return KnowledgeGraph.from_rows(concepts=concepts, is_a=is_a, xrefs=xrefs)
