"""Several graphs as one: joined concepts (`datagen.graph.joins`) unite, and what still points nowhere goes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.cycles import closing_edges, in_cycles
from datagen.graph.grouping import codes, distinct, distinct_lists, first_rows, positions, renamed
from datagen.graph.joins import find_joins
from datagen.graph.tables import REFERENCES, SCHEMAS, SCOPES, SENSES_SCHEMA, TERMS_SCHEMA, KnowledgeGraph


def merge(graphs: Sequence[KnowledgeGraph], seed: int = 0) -> tuple[KnowledgeGraph, dict[str, Any]]:
    """One graph that stands alone (`KnowledgeGraph.check`), and what became of its parts, ready for JSON.

    A joined concept has id and preferred term of the earliest source; names, types, relations and xrefs unite.
    Raises ValueError if no graph has a concept.
    """
    graph = graphs[0]
    joins: dict[str, Any] = {}
    if len(graphs) > 1:
        kept_for, joins = find_joins(graphs, seed)
        graph = _unite(graphs, kept_for)
    if not graph.concepts.num_rows:
        raise ValueError("the graphs of the settings hold no concepts, only additions to others; add one that does")
    graph, dropped = _close(graph)
    return graph, {**joins, "dropped": dropped, "merged": {name: getattr(graph, name).num_rows for name in SCHEMAS}}


def _unite(graphs: Sequence[KnowledgeGraph], kept_for: dict[str, str]) -> KnowledgeGraph:
    tables = {name: pa.concat_tables([getattr(graph, name) for graph in graphs]) for name in SCHEMAS}
    own_ids = tables["concepts"]["concept_id"]
    for name, column in (("concepts", "concept_id"), *REFERENCES):
        schema, kept = SCHEMAS[name], renamed(tables[name][column], kept_for)
        tables[name] = tables[name].set_column(schema.get_field_index(column), schema.field(column), kept)

    concepts = tables["concepts"]
    node = codes(concepts["concept_id"])
    first = first_rows(node)
    kept_rows = concepts.take(pa.array(first))
    is_other = np.ones(len(concepts), bool)
    is_other[first] = False
    others = concepts.filter(pa.array(is_other))
    types = concepts["semantic_types"].combine_chunks()
    type_node = node[pc.list_parent_indices(types).to_numpy()]
    also_called = kept_rows["preferred_term"].take(pa.array(node[is_other]))
    others = others.filter(pc.not_equal(others["preferred_term"], also_called))
    english, exact = (pa.repeat(value, len(others)) for value in ("en", "exact"))
    names = pa.table([others["concept_id"], others["preferred_term"], english, exact], schema=TERMS_SCHEMA)
    former = pa.table([concepts["concept_id"], own_ids], schema=tables["xrefs"].schema)
    former = former.filter(pc.not_equal(former["concept_id"], former["xref"]))
    united_types = distinct_lists(type_node, types.flatten(), len(first))
    return KnowledgeGraph(
        concepts=kept_rows.set_column(2, concepts.schema.field(2), united_types),
        terms=_closest(pa.concat_tables([tables["terms"], names])),
        is_a=distinct(tables["is_a"]),
        relations=distinct(tables["relations"]),
        xrefs=distinct(pa.concat_tables([tables["xrefs"], former])),
        senses=_summed(tables["senses"]),
    )


def _closest(terms: pa.Table) -> pa.Table:
    """Each term of a concept and language once, in its closest scope."""
    rank = pc.index_in(terms["scope"], value_set=pa.array(SCOPES))
    keys = TERMS_SCHEMA.names[:3]
    closest = (
        terms.select(keys).append_column("rank", rank).group_by(keys, use_threads=False).aggregate([("rank", "min")])
    )
    return pa.table([*(closest[key] for key in keys), pa.array(SCOPES).take(closest["rank_min"])], schema=TERMS_SCHEMA)


def _summed(senses: pa.Table) -> pa.Table:
    summed = senses.group_by(SENSES_SCHEMA.names[:2], use_threads=False).aggregate([("count", "sum")])
    return pa.table(summed.columns, schema=SENSES_SCHEMA)


def _close(graph: KnowledgeGraph) -> tuple[KnowledgeGraph, dict[str, int]]:
    """The graph without rows that name unknown concepts, lead from a concept to itself or close an is_a cycle."""
    ids = graph.concepts["concept_id"]
    columns = [getattr(graph, name)[column] for name, column in REFERENCES]
    chunks = [chunk for column in columns for chunk in column.chunks]
    places = positions(pa.chunked_array(chunks, pa.string()), ids)
    place_of = dict(zip(REFERENCES, np.split(places, np.cumsum([len(column) for column in columns])[:-1]), strict=True))
    dropped: dict[str, int] = {}
    tables: dict[str, pa.Table] = {}
    for name in dict.fromkeys(name for name, _ in REFERENCES):
        table = getattr(graph, name)
        ends = [place for (of_table, _), place in place_of.items() if of_table == name]
        keep = np.all([end >= 0 for end in ends], axis=0)
        dropped[f"{name}_of_unknown_concepts"] = int((~keep).sum())
        if len(ends) == 2:
            loops = keep & (ends[0] == ends[1])
            dropped[f"{name}_to_itself"] = int(loops.sum())
            keep &= ~loops
        if name == "is_a":
            closing = _closing(ends[0][keep], ends[1][keep], ids)
            dropped["is_a_in_cycles"] = len(closing)
            keep[np.flatnonzero(keep)[closing]] = False
        tables[name] = table if keep.all() else table.filter(pa.array(keep))
    return replace(graph, **tables), dropped


def _closing(child: np.ndarray, parent: np.ndarray, ids: pa.ChunkedArray) -> list[int]:
    """`closing_edges` with the concepts numbered by their ids, so that the order of rows plays no part."""
    edges = in_cycles(child, parent)
    concepts = np.unique(np.concatenate([child[edges], parent[edges]]))
    rank = np.argsort(np.argsort(ids.take(pa.array(concepts)).to_numpy(zero_copy_only=False).astype(str)))
    numbers = (rank[np.searchsorted(concepts, ends[edges])] for ends in (child, parent))
    return edges[closing_edges(*numbers)].tolist()
