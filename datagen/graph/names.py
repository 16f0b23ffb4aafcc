"""Concepts whose names are rows of their own, in several languages and one of them preferred, as in UMLS and BIOS."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import Column, best_rows, codes, distinct_lists, positions, renamed
from datagen.graph.tables import RELATIONS_SCHEMA, KnowledgeGraph

_ISO_639_1 = {
    "ARA": "ar", "BAQ": "eu", "CHI": "zh", "CHS": "zh", "CZE": "cs", "DAN": "da", "DUT": "nl", "ENG": "en",
    "EST": "et", "FIN": "fi", "FRE": "fr", "GER": "de", "GRE": "el", "HEB": "he", "HUN": "hu", "ITA": "it",
    "JPN": "ja", "KOR": "ko", "LAV": "lv", "NOR": "no", "POL": "pl", "POR": "pt", "RUS": "ru", "SCR": "hr",
    "SPA": "es", "SWE": "sv", "TUR": "tr", "UKR": "uk",
}  # fmt: skip
"""By the three letters that the sources write; what is not known stays, in lower case."""


def in_languages(path: Path, names: pa.Table, written: Column, languages: Sequence[str], which: str = "") -> pa.Table:
    """The rows in one of `languages` (ISO 639-1), their language as a further column; `written` is the source's code.

    Raises ValueError naming the file, the languages and `which` names were asked for where there are none.
    """
    iso = {code: _ISO_639_1.get(code.upper(), code.lower()) for code in written.unique().to_pylist()}
    language = renamed(written, iso)
    names = names.append_column("language", language).filter(pc.is_in(language, value_set=pa.array(languages)))
    if not len(names):
        raise ValueError(f"{path}: no name in the languages {', '.join(languages)}{which}; choose others")
    return names


def edges(head: Column, kind: Column, tail: Column, is_a: Column) -> dict[str, list[Column]]:
    """The columns of is_a (`head` is_a `tail`) and of relations."""
    rows = pa.table([head, kind, tail], schema=RELATIONS_SCHEMA)
    return {
        "is_a": rows.filter(is_a).select(["head", "tail"]).columns,
        "relations": rows.filter(pc.invert(is_a)).columns,
    }


def named_concepts(
    names: pa.Table,
    scope: Column | str,
    demerits: Sequence[Column],
    languages: Sequence[str],
    types: tuple[Column, Column],
    **tables: Sequence[Any],
) -> KnowledgeGraph:
    """Concepts with their terms and types, beside the columns of further tables.

    `names` are rows of id, name and language, `types` columns of ids and their types, `type|type`. The preferred term
    is of the first language that has one, and there one without `demerits` (bools), of which the first counts most.
    """
    ids, name, language = names.columns
    best = best_rows(codes(ids), positions(language, pa.array(languages)), *(column.to_numpy() for column in demerits))
    others = np.ones(len(names), bool)
    others[best] = False
    concepts, preferred = ids.take(pa.array(best)), name.take(pa.array(best))
    each = pc.split_pattern(types[1], "|").combine_chunks()
    row = positions(types[0], concepts)[pc.list_parent_indices(each).to_numpy()]
    of_concept = distinct_lists(row[row >= 0], each.flatten().filter(pa.array(row >= 0)), len(concepts))
    scope = scope if isinstance(scope, str) else scope.filter(pa.array(others))
    return KnowledgeGraph.from_columns(
        concepts=(concepts, preferred, of_concept), terms=(*names.filter(pa.array(others)).columns, scope), **tables
    )
