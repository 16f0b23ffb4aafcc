"""BIOS, a machine-built biomedical knowledge graph: a folder of tab-separated tables (Yu et al., arXiv 2203.09975).

Tables are known by their header, as names of files differ between releases; those of one kind go together:

    terms           cid, tid, str; from version 3 on also tty (PT: preferred) and lang
    semantic types  cid and the types, `type|type`
    relations       two columns of concept ids and one with the relation; ids of source terms are left out

The licence (CC BY-NC-ND) forbids passing on what is derived from it.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.curies import with_prefix
from datagen.graph.names import edges, in_languages, named_concepts
from datagen.graph.source_files import FETCH_AGAIN, header_names, listed, read_columns
from datagen.graph.tables import KnowledgeGraph

_HEADS, _TAILS = ("cid1", "headcid", "head", "subject"), ("cid2", "tailcid", "tail", "object")
_RELATIONS = ("relation", "rel", "rela", "relationtype", "predicate", "label")
_TYPES = ("semantictypes", "semantictype", "semtypes", "semtype", "stys", "sty", "types", "type")
_KINDS = {
    "terms": (("cid",), ("tid",), ("str",)),
    "relations": (_HEADS, _RELATIONS, _TAILS),
    "semantic types": (("cid",), _TYPES),
}
"""The columns that tell what a table is; each has one of several names."""
_TABLE = re.compile(r"\.(tsv|txt|csv)(\.gz)?$")
_id = partial(with_prefix, "BIOS")


def read_bios(path: Path, languages: Sequence[str] = ("en",)) -> KnowledgeGraph:
    """All concepts with a name in one of `languages` (ISO 639-1); version 1 is in English throughout.

    The preferred term is the one marked so, or the first of the concept, of the first language that has one.
    """
    files: dict[str | None, list[tuple[Path, list[str]]]] = defaultdict(list)
    for file in listed(path):
        if _TABLE.search(file.name.lower()):
            header = header_names(file)
            files[_kind(header)].append((file, header))
    missing = [kind for kind in _KINDS if kind not in files]
    if missing:
        raise ValueError(f"{path}: no file with the header of BIOS {', '.join(missing)}; {FETCH_AGAIN}")

    names = _read(files["terms"], ("cid",), ("str",), optional=("tty", "lang"))
    names = names.filter(pc.not_equal(names["str"], ""))
    language = pc.if_else(pc.equal(names["lang"], ""), "ENG", names["lang"])
    names = in_languages(path, names, language, languages)
    head, relation, tail = _read(files["relations"], _HEADS, _RELATIONS, _TAILS).columns
    relation = pc.replace_substring(pc.utf8_lower(relation), " ", "_")
    is_a = pc.is_in(relation, value_set=pa.array(["is_a", "isa"]))
    typed, types = _read(files["semantic types"], ("cid",), _TYPES).columns
    return named_concepts(
        names.select(["cid", "str", "language"]).set_column(0, "cid", _id(names["cid"])),
        "exact",
        [pc.not_equal(names["tty"], "PT")],
        languages,
        (_id(typed), types),
        **edges(_id(head), relation, _id(tail), is_a),
    )


def _kind(header: Sequence[str]) -> str | None:
    return next((kind for kind, columns in _KINDS.items() if all(_one_of(header, names) for names in columns)), None)


def _one_of(header: Sequence[str], names: Sequence[str]) -> str:
    return next((name for name in header if name in names), "")


def _read(
    files: Sequence[tuple[Path, Sequence[str]]], *columns: Sequence[str], optional: Sequence[str] = ()
) -> pa.Table:
    """The files of one kind, each with its header, as one table; of a column's names the first counts here."""
    own = [*(names[0] for names in columns), *optional]
    tables = (
        read_columns(file, [_one_of(header, names) for names in columns], optional, quoted=False)
        for file, header in files
    )
    return pa.concat_tables(table.rename_columns(own) for table in tables)
