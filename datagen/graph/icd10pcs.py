"""ICD-10-PCS tables as XML (https://www.cms.gov/medicare/coding-billing/icd-10-codes), reduced to what people write.

A table is a section, a body system and an operation (three characters of the code), its rows add body part, approach,
device and qualifier. The concepts are operations on body parts, four characters, such as `ICD10PCS:0FT4`,
"Resection of Gallbladder", below their tables; what comes behind makes codes that no note spells out. Sections
without body parts (administration, rehabilitation, ...) are left out, and so are bare operations such as "Change".
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from datagen.graph.source_files import FETCH_AGAIN, named_errors, read_text
from datagen.graph.tables import KnowledgeGraph

_BODY_PARTS = ("Body Part", "Treatment Site")
_INVERTED = re.compile(r"^([^,]+), (Right|Left|Bilateral)\Z")
""""Kidney, Right", which is said "Right Kidney"."""


def read_icd10pcs(path: Path) -> KnowledgeGraph:
    """Operations on body parts, named "operation of part" and, as an exact synonym, "part operation"."""
    with named_errors(path):
        root = ET.fromstring(read_text(path))
    concepts: dict[str, str] = {}
    terms: dict[tuple[str, str], None] = {}
    is_a: dict[tuple[str, str], None] = {}
    for table in root.iter("pcsTable"):
        try:
            (section, _), (system, body_system), (operation, name) = (
                _labels(axis)[0] for axis in table.findall("axis")
            )
        except (IndexError, ValueError):
            raise ValueError(f"{path}: a table without section, body system and operation; {FETCH_AGAIN}") from None
        parent = f"ICD10PCS:{section}{system}{operation}"
        operations = _operations(name)
        for axis in table.iterfind("pcsRow/axis[@pos='4']"):
            if axis.findtext("title") not in _BODY_PARTS:
                continue
            concepts[parent] = f"{operations[0]}, {body_system}"
            for code, part in _labels(axis):
                concept, part = f"{parent}{code}", _INVERTED.sub(r"\2 \1", part)
                concepts[concept], *others = (
                    form for each in operations for form in (f"{each} of {part}", f"{part} {each}")
                )
                terms.update(dict.fromkeys((concept, term) for term in others))
                is_a[concept, parent] = None
    if not concepts:
        raise ValueError(f"{path}: holds no tables with body parts; give the tables of ICD-10-PCS as XML")
    return KnowledgeGraph.from_rows(
        concepts=[(concept, name, ["procedure"]) for concept, name in concepts.items()],
        terms=[(concept, term, "en", "exact") for concept, term in terms],
        is_a=is_a,
    )


def _labels(axis: ET.Element) -> list[tuple[str, str]]:
    return [(label.get("code", ""), label.text or "") for label in axis.iterfind("label")]


def _operations(name: str) -> list[str]:
    """The operation and its short name: "Computerized Tomography (CT Scan)" gives both and "CT"."""
    match = re.fullmatch(r"(.+) \((.+)\)", name)
    return list(dict.fromkeys([*match.groups(), match[2].removesuffix(" Scan")])) if match else [name]
