"""BIOS, a machine-built biomedical knowledge graph: a folder of tab-separated tables (Yu et al., arXiv 2203.09975).

Tables are known by their header, as names of files differ between releases; those of one kind go together:

    terms           cid, tid, str; from version 3 on also tty (PT: preferred) and lang
    semantic types  cid and the types, `type|type`
    relations       two columns of concept ids and one with the relation; ids of source terms are left out

The licence (CC BY-NC-ND) forbids passing on what is derived from it.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph import curies
from datagen.graph.grouping import best_rows, codes, distinct, lists_of, positions
from datagen.graph.languages import iso_639_1
from datagen.graph.source_files import FETCH_AGAIN, header_names, listed, read_columns
from datagen.graph.tables import CONCEPTS_SCHEMA, IS_A_SCHEMA, RELATIONS_SCHEMA, TERMS_SCHEMA, KnowledgeGraph

_HEADS, _TAILS = ("cid1", "headcid", "head", "subject"), ("cid2", "tailcid", "tail", "object")
_RELATIONS = ("relation", "rel", "rela", "relationtype", "predicate", "label")
_TYPES = ("semantictypes", "semantictype", "semtypes", "semtype", "stys", "sty", "types", "type")
_TABLE = re.compile(r"\.(tsv|txt|csv)(\.gz)?$")

_Files: TypeAlias = "Sequence[tuple[Path, Sequence[str]]]"
"""Each with the names in its header."""


def read_bios(path: Path, languages: Sequence[str] = ("en",)) -> KnowledgeGraph:
    """All concepts with a name in one of `languages` (ISO 639-1); version 1 is in English throughout.

    The preferred term is the one marked so, or the first of the concept, of the first language that has one.
    """
    tables: dict[str, list[tuple[Path, list[str]]]] = {}
    for file in listed(path):
        if _TABLE.search(file.name.lower()) and (kind := _kind(names := header_names(file))):
            tables.setdefault(kind, []).append((file, names))
    missing = [kind for kind in ("terms", "semantic types", "relations") if kind not in tables]
    if missing:
        raise ValueError(f"{path}: no file with the header of BIOS {', '.join(missing)}; {FETCH_AGAIN}")

    names = _names(path, tables["terms"], languages)
    ids = names["cid"]
    preferred = _preferred(names, languages)
    concept_ids = ids.take(preferred)
    others = np.ones(len(names), bool)
    others[preferred.to_numpy()] = False
    exact = pa.array(["exact"] * int(others.sum()))
    is_a, relations = _related(tables["relations"])
    return KnowledgeGraph(
        concepts=pa.table(
            [concept_ids, names["str"].take(preferred), _types(tables["semantic types"], concept_ids)],
            schema=CONCEPTS_SCHEMA,
        ),
        terms=distinct(
            pa.table(
                [ids.filter(others), names["str"].filter(others), names["language"].filter(others), exact],
                schema=TERMS_SCHEMA,
            )
        ),
        is_a=is_a,
        relations=relations,
    )


def _kind(names: Sequence[str]) -> str | None:
    if {"cid", "tid", "str"} <= set(names):
        return "terms"
    if _one_of(names, _HEADS) and _one_of(names, _TAILS) and _one_of(names, _RELATIONS):
        return "relations"
    return "semantic types" if "cid" in names and _one_of(names, _TYPES) else None


def _one_of(names: Sequence[str], spellings: Sequence[str]) -> str:
    return next((name for name in names if name in spellings), "")


def _read(files: _Files, *columns: Sequence[str], optional: Sequence[str] = ()) -> pa.Table:
    """The files of one kind as one table; each column has one of several names in a file, the first of them here."""
    own = [spellings[0] for spellings in columns]
    return pa.concat_tables(
        read_columns(file, [_one_of(names, spellings) for spellings in columns], optional, quoted=False).rename_columns(
            [*own, *optional]
        )
        for file, names in files
    )


def _names(path: Path, files: _Files, languages: Sequence[str]) -> pa.Table:
    rows = _read(files, ("cid",), ("str",), optional=("tty", "lang"))
    rows = rows.filter(pc.not_equal(rows["str"], ""))
    written = [iso_639_1(code) if code else "en" for code in rows["lang"].unique().to_pylist()]
    language = np.array(written)[codes(rows["lang"])]
    rows = rows.append_column("language", pa.array(language)).filter(np.isin(language, list(languages)))
    if not len(rows):
        raise ValueError(f"{path}: no name in the languages {', '.join(languages)}; choose among those of the file")
    return rows.set_column(0, "cid", curies.with_prefix("BIOS", rows["cid"]))


def _preferred(names: pa.Table, languages: Sequence[str]) -> pa.Array:
    choice = positions(names["language"], pa.array(list(languages)))
    return pa.array(best_rows(codes(names["cid"]), choice, pc.not_equal(names["tty"], "PT").to_numpy()))


def _types(files: _Files, ids: pa.ChunkedArray) -> pa.ListArray:
    rows = _read(files, ("cid",), _TYPES)
    lists = pc.split_pattern(rows[_TYPES[0]], "|").combine_chunks()
    row = positions(curies.with_prefix("BIOS", rows["cid"]), ids)[pc.list_parent_indices(lists).to_numpy()]
    return lists_of(row[row >= 0], lists.flatten().filter(pa.array(row >= 0)), len(ids))


def _related(files: _Files) -> tuple[pa.Table, pa.Table]:
    rows = _read(files, _HEADS, _RELATIONS, _TAILS)
    heads, kind, tails = rows.columns
    heads, tails = (curies.with_prefix("BIOS", end) for end in (heads, tails))
    relation = pc.replace_substring(pc.utf8_lower(kind), " ", "_")
    is_a = pc.is_in(relation, value_set=pa.array(["is_a", "isa"]))
    return (
        distinct(pa.table([heads, tails], schema=IS_A_SCHEMA).filter(is_a)),
        distinct(pa.table([heads, relation, tails], schema=RELATIONS_SCHEMA).filter(pc.invert(is_a))),
    )
