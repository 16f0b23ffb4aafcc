"""BIOS, a machine-built biomedical knowledge graph: a folder of tab-separated tables (Yu et al., arXiv 2203.09975).

Tables are known by their header, as names of files differ between releases:

    terms           cid, tid, str; from version 3 on also tty (PT: preferred) and lang
    semantic types  cid and the types, `type|type`
    relations       two columns of concept ids and one with the relation; ids of source terms are left out

The licence (CC BY-NC-ND) forbids passing on what is derived from it.
"""

from collections.abc import Sequence
from pathlib import Path

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


def read_bios(path: Path, languages: Sequence[str] = ("en",)) -> KnowledgeGraph:
    """All concepts with a name in one of `languages` (ISO 639-1); version 1 is in English throughout.

    The preferred term is the one marked so, or the first of the concept, of the first language that has one.
    """
    tables = {}
    for file in listed(path):
        names = header_names(file)
        if kind := _kind(names):
            tables[kind] = (file, names)
    missing = [kind for kind in ("terms", "semantic types", "relations") if kind not in tables]
    if missing:
        raise ValueError(f"{path}: no file with the header of BIOS {', '.join(missing)}; {FETCH_AGAIN}")

    names = _names(tables["terms"][0], languages)
    ids = names["cid"]
    preferred = _preferred(names, languages)
    concept_ids = ids.take(preferred)
    others = np.ones(len(names), bool)
    others[preferred.to_numpy()] = False
    exact = pa.array(["exact"] * int(others.sum()))
    is_a, relations = _related(*tables["relations"])
    return KnowledgeGraph(
        concepts=pa.table(
            [concept_ids, names["str"].take(preferred), _types(*tables["semantic types"], concept_ids)],
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


def _names(file: Path, languages: Sequence[str]) -> pa.Table:
    rows = read_columns(file, ("cid", "str"), optional=("tty", "lang"), quoted=False)
    rows = rows.filter(pc.not_equal(rows["str"], ""))
    written = [iso_639_1(code) if code else "en" for code in rows["lang"].unique().to_pylist()]
    language = np.array(written)[codes(rows["lang"])]
    rows = rows.append_column("language", pa.array(language)).filter(np.isin(language, list(languages)))
    if not len(rows):
        raise ValueError(f"{file}: no name in the languages {', '.join(languages)}; choose among those of the file")
    return rows.set_column(0, "cid", curies.with_prefix("BIOS", rows["cid"]))


def _preferred(names: pa.Table, languages: Sequence[str]) -> pa.Array:
    choice = positions(names["language"], pa.array(list(languages)))
    return pa.array(best_rows(codes(names["cid"]), choice, pc.not_equal(names["tty"], "PT").to_numpy()))


def _types(file: Path, names: Sequence[str], ids: pa.ChunkedArray) -> pa.ListArray:
    column = _one_of(names, _TYPES)
    rows = read_columns(file, ("cid", column), quoted=False)
    lists = pc.split_pattern(rows[column], "|").combine_chunks()
    row = positions(curies.with_prefix("BIOS", rows["cid"]), ids)[pc.list_parent_indices(lists).to_numpy()]
    return lists_of(row[row >= 0], lists.flatten().filter(pa.array(row >= 0)), len(ids))


def _related(file: Path, names: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    head, kind, tail = (_one_of(names, spellings) for spellings in (_HEADS, _RELATIONS, _TAILS))
    rows = read_columns(file, (head, kind, tail), quoted=False)
    heads, tails = (curies.with_prefix("BIOS", rows[name]) for name in (head, tail))
    relation = pc.replace_substring(pc.utf8_lower(rows[kind]), " ", "_")
    is_a = pc.is_in(relation, value_set=pa.array(["is_a", "isa"]))
    return (
        distinct(pa.table([heads, tails], schema=IS_A_SCHEMA).filter(is_a)),
        distinct(pa.table([heads, relation, tails], schema=RELATIONS_SCHEMA).filter(pc.invert(is_a))),
    )
