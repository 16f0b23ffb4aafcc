"""The UMLS Metathesaurus in Rich Release Format: a folder with MRCONSO, MRREL and MRSTY.

Format: https://www.ncbi.nlm.nih.gov/books/NBK9685/. Concept ids are `UMLS:` and the CUI.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph import curies
from datagen.graph.grouping import best_rows, codes, distinct, lists_of, positions
from datagen.graph.languages import iso_639_1
from datagen.graph.source_files import find_file, read_columns
from datagen.graph.tables import (
    CONCEPTS_SCHEMA,
    IS_A_SCHEMA,
    RELATIONS_SCHEMA,
    TERMS_SCHEMA,
    XREFS_SCHEMA,
    KnowledgeGraph,
)

_MRCONSO = [
    "CUI", "LAT", "TS", "LUI", "STT", "SUI", "ISPREF", "AUI", "SAUI", "SCUI", "SDUI", "SAB", "TTY", "CODE", "STR",
    "SRL", "SUPPRESS", "CVF",
]  # fmt: skip
_MRREL = [
    "CUI1", "AUI1", "STYPE1", "REL", "CUI2", "AUI2", "STYPE2", "RELA", "RUI", "SRUI", "SAB", "SL", "RG", "DIR",
    "SUPPRESS", "CVF",
]  # fmt: skip
_MRSTY = ["CUI", "TUI", "STN", "STY", "ATUI", "CVF"]
_ABBREVIATIONS = ("AB", "ACR")
_UNRELATED = ("XR", "DEL")


def read_umls(path: Path, languages: Sequence[str] = ("en",), sources: Sequence[str] = ()) -> KnowledgeGraph:
    """Concepts with a name in one of `languages` (ISO 639-1) and one of `sources` (SAB, all when empty).

    What is suppressed is left out. The preferred term is the one that UMLS prefers, of the first language that has
    one. RELA says what is is_a where it is given, else REL; REL and RELA tell what the second concept is to the first.
    """
    kept = pc.field("SUPPRESS") == "N"
    if sources:
        kept &= pc.field("SAB").isin(list(sources))
    atoms = _read(
        path, "mrconso", _MRCONSO, ("CUI", "LAT", "TS", "STT", "ISPREF", "SAB", "TTY", "CODE", "STR", "SUPPRESS"), kept
    )
    language = np.array([iso_639_1(code) for code in atoms["LAT"].unique().to_pylist()])[codes(atoms["LAT"])]
    atoms = atoms.append_column("language", pa.array(language)).filter(np.isin(language, list(languages)))
    if not len(atoms):
        chosen = " of the sources " + ", ".join(sources) if sources else ""
        raise ValueError(f"{path}: no name in the languages {', '.join(languages)}{chosen}; choose others")
    atoms = atoms.set_column(0, "CUI", curies.with_prefix("UMLS", atoms["CUI"]))
    preferred = _preferred(atoms, languages)
    ids = atoms["CUI"].take(preferred)
    types = _read(path, "mrsty", _MRSTY, ("CUI", "STY"))
    row = positions(curies.with_prefix("UMLS", types["CUI"]), ids)
    related = _read(
        path,
        "mrrel",
        _MRREL,
        ("CUI1", "REL", "CUI2", "RELA", "SAB", "SUPPRESS"),
        kept & (pc.field("CUI1") != pc.field("CUI2")) & ~pc.field("REL").isin(_UNRELATED),
    )
    is_a, relations = _related(related)
    return KnowledgeGraph(
        concepts=pa.table(
            [ids, atoms["STR"].take(preferred), lists_of(row[row >= 0], types["STY"].filter(row >= 0), len(ids))],
            schema=CONCEPTS_SCHEMA,
        ),
        terms=_terms(atoms, preferred),
        is_a=is_a,
        relations=relations,
        xrefs=_xrefs(atoms),
    )


def _read(
    folder: Path, stem: str, header: Sequence[str], columns: Sequence[str], where: pc.Expression | None = None
) -> pa.Table:
    # Every line ends in a delimiter, which makes one more, empty column.
    return read_columns(
        find_file(folder, stem), columns, header=[*header, ""], delimiter="|", quoted=False, where=where
    )


def _preferred(atoms: pa.Table, languages: Sequence[str]) -> pa.Array:
    choice = positions(atoms["language"], pa.array(list(languages)))
    ranks = [pc.not_equal(atoms[name], best).to_numpy() for name, best in (("TS", "P"), ("STT", "PF"), ("ISPREF", "Y"))]
    return pa.array(best_rows(codes(atoms["CUI"]), choice, *ranks))


def _terms(atoms: pa.Table, preferred: pa.Array) -> pa.Table:
    others = np.ones(len(atoms), bool)
    others[preferred.to_numpy()] = False
    names = atoms.filter(others)
    scope = pc.if_else(pc.is_in(names["TTY"], value_set=pa.array(_ABBREVIATIONS)), "abbreviation", "exact")
    return distinct(pa.table([names["CUI"], names["STR"], names["language"], scope], schema=TERMS_SCHEMA))


def _related(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    first, second = (curies.with_prefix("UMLS", rows[name]) for name in ("CUI1", "CUI2"))
    kind = pc.if_else(pc.equal(rows["RELA"], ""), rows["REL"], rows["RELA"])
    up = pc.is_in(kind, value_set=pa.array(["PAR", "RB", "inverse_isa"]))
    down = pc.is_in(kind, value_set=pa.array(["CHD", "RN", "isa"]))
    other = pc.invert(pc.or_(up, down))
    is_a = pa.table([pc.if_else(up, first, second), pc.if_else(up, second, first)], schema=IS_A_SCHEMA)
    relations = pa.table([second, kind, first], schema=RELATIONS_SCHEMA)
    return distinct(is_a.filter(pc.or_(up, down))), distinct(relations.filter(other))


def _xrefs(atoms: pa.Table) -> pa.Table:
    """What the sources call the concept: source and code, unless the code names its vocabulary itself."""
    coded = atoms.filter(pc.not_equal(atoms["CODE"], "NOCODE"))
    whole = pc.match_substring(coded["CODE"], ":")
    written = pc.if_else(whole, coded["CODE"], pc.binary_join_element_wise(coded["SAB"], coded["CODE"], ":"))
    xrefs = pa.table([coded["CUI"], curies.normalise(written)], names=XREFS_SCHEMA.names).drop_null()
    return distinct(xrefs.cast(XREFS_SCHEMA))
