"""A knowledge graph as Arrow tables; every reader yields these, whatever its source looks like."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.cycles import in_cycles

CONCEPTS_SCHEMA = pa.schema(
    [
        pa.field("concept_id", pa.string(), nullable=False),
        pa.field("preferred_term", pa.string(), nullable=False),
        pa.field("semantic_types", pa.list_(pa.string()), nullable=False),
    ]
)

SCOPES = ("exact", "abbreviation", "narrow", "broad", "related")
"""How close a term is to its concept, closest first; terms of a concept are listed in this order."""

TERMS_SCHEMA = pa.schema(
    [
        pa.field("concept_id", pa.string(), nullable=False),
        pa.field("term", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("scope", pa.string(), nullable=False),
    ]
)
"""The names of a concept beside its preferred term. `language` is an ISO 639-1 code, `scope` one of `SCOPES`."""

IS_A_SCHEMA = pa.schema(
    [pa.field("child", pa.string(), nullable=False), pa.field("parent", pa.string(), nullable=False)]
)

RELATIONS_SCHEMA = pa.schema(
    [
        pa.field("head", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("tail", pa.string(), nullable=False),
    ]
)

XREFS_SCHEMA = pa.schema(
    [pa.field("concept_id", pa.string(), nullable=False), pa.field("xref", pa.string(), nullable=False)]
)
"""What other vocabularies call a concept: CURIEs with the prefixes of `datagen.graph.curies`."""

SENSES_SCHEMA = pa.schema(
    [
        pa.field("short_form", pa.string(), nullable=False),
        pa.field("long_form", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
"""An inventory of abbreviations: short forms as written, what they stand for, how often that was seen (0: not said)."""

SCHEMAS = {
    "concepts": CONCEPTS_SCHEMA,
    "terms": TERMS_SCHEMA,
    "is_a": IS_A_SCHEMA,
    "relations": RELATIONS_SCHEMA,
    "xrefs": XREFS_SCHEMA,
    "senses": SENSES_SCHEMA,
}

REFERENCES = (
    ("terms", "concept_id"),
    ("is_a", "child"),
    ("is_a", "parent"),
    ("relations", "head"),
    ("relations", "tail"),
    ("xrefs", "concept_id"),
)
"""The tables and columns that name concepts."""


Rows = Iterable[Sequence[Any]]


@dataclass(frozen=True)
class KnowledgeGraph:
    """Concepts, their names, their is_a hierarchy, their other relations and xrefs, and senses of abbreviations.

    A source may name concepts that another one defines; `check` tells whether the graph stands alone.
    Raises ValueError, naming the concept or the scope, for a duplicate concept or an unknown scope.
    """

    concepts: pa.Table = field(default_factory=CONCEPTS_SCHEMA.empty_table)
    terms: pa.Table = field(default_factory=TERMS_SCHEMA.empty_table)
    is_a: pa.Table = field(default_factory=IS_A_SCHEMA.empty_table)
    relations: pa.Table = field(default_factory=RELATIONS_SCHEMA.empty_table)
    xrefs: pa.Table = field(default_factory=XREFS_SCHEMA.empty_table)
    senses: pa.Table = field(default_factory=SENSES_SCHEMA.empty_table)

    def __post_init__(self) -> None:
        for name, schema in SCHEMAS.items():
            if getattr(self, name).schema != schema:
                raise ValueError(f"graph table '{name}' must have the columns {', '.join(schema.names)}")
        _refuse_duplicates(self.concepts["concept_id"])
        _refuse_unknown(self.terms["scope"], pa.array(SCOPES), "terms.scope", "scope")

    @classmethod
    def from_rows(
        cls,
        concepts: Rows = (),
        terms: Rows = (),
        is_a: Rows = (),
        relations: Rows = (),
        xrefs: Rows = (),
        senses: Rows = (),
    ) -> "KnowledgeGraph":
        """A graph from rows in the order of the schemas' columns."""
        rows = (concepts, terms, is_a, relations, xrefs, senses)
        return cls(*(_table(of_table, schema) for of_table, schema in zip(rows, SCHEMAS.values(), strict=True)))

    def check(self) -> "KnowledgeGraph":
        """The graph, if it stands alone.

        Raises ValueError, naming the concept, for a reference to one that is not there or an is_a cycle.
        """
        ids = self.concepts["concept_id"]
        for table, column in REFERENCES:
            _refuse_unknown(getattr(self, table)[column], ids, f"{table}.{column}", "concept")
        _refuse_cycle(self.is_a, ids)
        return self


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _refuse_duplicates(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        raise ValueError(f"concept {repeated[0]['values'].as_py()} is defined more than once; make its id unique")


def _refuse_unknown(column: pa.ChunkedArray, known: pa.Array, where: str, what: str) -> None:
    unknown = column.filter(pc.invert(pc.is_in(column, value_set=known)))
    if len(unknown):
        raise ValueError(f"{where} names the unknown {what} {unknown[0].as_py()}; define it or remove the row")


def _refuse_cycle(is_a: pa.Table, ids: pa.ChunkedArray) -> None:
    child, parent = (pc.index_in(is_a[name], value_set=ids).to_numpy() for name in ("child", "parent"))
    edges = in_cycles(child, parent)
    if len(edges):
        raise ValueError(
            f"is_a goes in a cycle: {_cycle(child[edges], parent[edges], ids)}; remove one of these statements"
        )


def _cycle(child: np.ndarray, parent: np.ndarray, ids: pa.ChunkedArray) -> str:
    parent_of = dict(zip(child.tolist(), parent.tolist(), strict=True))
    path = [int(child[0])]
    while parent_of[path[-1]] not in path:
        path.append(parent_of[path[-1]])
    path.append(parent_of[path[-1]])
    return " is_a ".join(ids[concept].as_py() for concept in path[path.index(path[-1]) :])
