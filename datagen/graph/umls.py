"""The UMLS Metathesaurus in Rich Release Format: a folder with MRCONSO, MRREL and MRSTY.

Format: https://www.ncbi.nlm.nih.gov/books/NBK9685/. Concept ids are `UMLS:` and the CUI.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.curies import normalise, with_prefix
from datagen.graph.grouping import Column
from datagen.graph.names import edges, in_languages, named_concepts
from datagen.graph.source_files import find_file, read_columns
from datagen.graph.tables import KnowledgeGraph

_COLUMNS = {
    "mrconso": "CUI LAT TS LUI STT SUI ISPREF AUI SAUI SCUI SDUI SAB TTY CODE STR SRL SUPPRESS CVF",
    "mrrel": "CUI1 AUI1 STYPE1 REL CUI2 AUI2 STYPE2 RELA RUI SRUI SAB SL RG DIR SUPPRESS CVF",
    "mrsty": "CUI TUI STN STY ATUI CVF",
}
_ABBREVIATIONS = ("AB", "ACR")
_UNRELATED = ("XR", "DEL")
_UP, _DOWN = ("PAR", "RB", "inverse_isa"), ("CHD", "RN", "isa")
"""Of REL and RELA, those that say that the second concept is a parent of the first, or a child."""
_id = partial(with_prefix, "UMLS")


def read_umls(path: Path, languages: Sequence[str] = ("en",), sources: Sequence[str] = ()) -> KnowledgeGraph:
    """Concepts with a name in one of `languages` (ISO 639-1) and one of `sources` (SAB, all when empty).

    What is suppressed is left out. The preferred term is the one that UMLS prefers, of the first language that has
    one. RELA says what is is_a where it is given, else REL; REL and RELA tell what the second concept is to the first.
    """
    kept = pc.field("SUPPRESS") == "N"
    if sources:
        kept &= pc.field("SAB").isin(list(sources))
    atoms = _read(path, "mrconso", "CUI LAT TS STT ISPREF SAB TTY CODE STR SUPPRESS", kept)
    chosen = " of the sources " + ", ".join(sources) if sources else ""
    atoms = in_languages(path, atoms, atoms["LAT"], languages, chosen)
    typed, types = _read(path, "mrsty", "CUI STY").columns
    kept &= (pc.field("CUI1") != pc.field("CUI2")) & ~pc.field("REL").isin(_UNRELATED)
    first, rel, second, rela, *_ = _read(path, "mrrel", "CUI1 REL CUI2 RELA SAB SUPPRESS", kept).columns
    kind = pc.if_else(pc.equal(rela, ""), rel, rela)
    up, down = (pc.is_in(kind, value_set=pa.array(kinds)) for kinds in (_UP, _DOWN))
    ids = _id(atoms["CUI"])
    return named_concepts(
        pa.table([ids, atoms["STR"], atoms["language"]], names=["id", "name", "language"]),
        pc.if_else(pc.is_in(atoms["TTY"], value_set=pa.array(_ABBREVIATIONS)), "abbreviation", "exact"),
        [pc.not_equal(atoms[name], best) for name, best in (("TS", "P"), ("STT", "PF"), ("ISPREF", "Y"))],
        languages,
        (_id(typed), types),
        **edges(_id(pc.if_else(up, first, second)), kind, _id(pc.if_else(up, second, first)), pc.or_(up, down)),
        xrefs=_xrefs(ids, atoms),
    )


def _read(folder: Path, table: str, columns: str, where: pc.Expression | None = None) -> pa.Table:
    header = [*_COLUMNS[table].split(), ""]  # Every line ends in a delimiter, which makes one more, empty column.
    path = find_file(folder, table)
    return read_columns(path, columns.split(), header=header, delimiter="|", quoted=False, where=where)


def _xrefs(ids: Column, atoms: pa.Table) -> tuple[Column, Column]:
    """What the sources call the concept: source and code, unless the code names its vocabulary itself."""
    coded = pc.not_equal(atoms["CODE"], "NOCODE")
    code, source = atoms["CODE"].filter(coded), atoms["SAB"].filter(coded)
    written = pc.if_else(pc.match_substring(code, ":"), code, pc.binary_join_element_wise(source, code, ":"))
    return ids.filter(coded), normalise(written)
