"""A knowledge graph as Arrow tables; every reader yields these, whatever its source looks like."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import distinct


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


_TEXT = pa.string()
CONCEPTS_SCHEMA = _schema(concept_id=_TEXT, preferred_term=_TEXT, semantic_types=pa.list_(_TEXT))

SCOPES = ("exact", "abbreviation", "narrow", "broad", "related")
"""How close a term is to its concept, closest first; terms of a concept are listed in this order."""

TERMS_SCHEMA = _schema(concept_id=_TEXT, term=_TEXT, language=_TEXT, scope=_TEXT)
"""The names of a concept beside its preferred term. `language` is an ISO 639-1 code, `scope` one of `SCOPES`."""

IS_A_SCHEMA = _schema(child=_TEXT, parent=_TEXT)
RELATIONS_SCHEMA = _schema(head=_TEXT, type=_TEXT, tail=_TEXT)

XREFS_SCHEMA = _schema(concept_id=_TEXT, xref=_TEXT)
"""What other vocabularies call a concept: CURIEs with the prefixes of `datagen.graph.curies`."""

SENSES_SCHEMA = _schema(short_form=_TEXT, long_form=_TEXT, count=pa.int64())
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

    @classmethod
    def from_columns(cls, **tables: Sequence[Any]) -> "KnowledgeGraph":
        """A graph from Arrow columns, or texts that hold for all rows, in the order of the schemas' columns.

        What is null is left out, and so are repeated rows, but for those of the concepts: these are refused.
        """
        return cls(**{name: _from_columns(columns, SCHEMAS[name]) for name, columns in tables.items()})

    def check(self) -> "KnowledgeGraph":
        """The graph, if it stands alone.

        Raises ValueError, naming the concept, for a reference to one that is not there or an is_a cycle.
        """
        ids = self.concepts["concept_id"]
        for table, column in REFERENCES:
            _refuse_unknown(getattr(self, table)[column], ids, f"{table}.{column}", "concept")
        _refuse_cycle(self.is_a)
        return self


def _table(rows: Rows, schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table(columns, schema=schema)


def _from_columns(columns: Sequence[Any], schema: pa.Schema) -> pa.Table:
    n_rows = next(len(column) for column in columns if not isinstance(column, str))
    arrays = [pa.repeat(column, n_rows) if isinstance(column, str) else column for column in columns]
    table = pa.table(arrays, schema=schema).drop_null()
    return table if schema is CONCEPTS_SCHEMA else distinct(table)


def _refuse_duplicates(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() != len(ids):
        counts = pc.value_counts(ids)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))
        raise ValueError(f"concept {repeated[0]['values'].as_py()} is defined more than once; make its id unique")


def _refuse_unknown(column: pa.ChunkedArray, known: pa.Array, where: str, what: str) -> None:
    unknown = column.filter(pc.invert(pc.is_in(column, value_set=known)))
    if len(unknown):
        raise ValueError(f"{where} names the unknown {what} {unknown[0].as_py()}; define it or remove the row")


def _refuse_cycle(is_a: pa.Table) -> None:
    parents: dict[str, list[str]] = defaultdict(list)
    for child, parent in zip(*map(pa.ChunkedArray.to_pylist, is_a.columns), strict=True):
        parents[child].append(parent)
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        cycle = " is_a ".join(reversed(error.args[1]))
        raise ValueError(f"is_a goes in a cycle: {cycle}; remove one of these statements") from None
