"""PrimeKG (Chandak et al., Scientific Data 2023): nodes.csv and edges.csv, or the one kg.csv; commas or tabs.

Format: https://doi.org/10.7910/DVN/IXA7BM. Ids are written as their own vocabularies do, so that they join with
other sources. A disease that PrimeKG grouped from several has the id `MONDO_GROUPED:` and theirs, joined by `_`;
it is none of them and has no xref. All edges stand in the files in both directions, which leaves those called
parent-child without one: they are relations here. What is known to be absent is left out.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import first_rows, positions, renamed
from datagen.graph.source_files import find_file, listed, read_columns
from datagen.graph.tables import KnowledgeGraph

_NODE = ("index", "id", "type", "name", "source")
_PREFIXES = {"HPO": "HP", "NCBI": "NCBIGENE", "CTD": "MESH"}
_PADDED = ("MONDO", "HPO", "GO", "UBERON")
"""Vocabularies whose numbers have seven digits; PrimeKG drops their leading zeros."""


def read_primekg(path: Path) -> KnowledgeGraph:
    """Nodes as concepts, of their node type, and edges as relations, of the kind that is displayed."""
    single = [file for file in listed(path) if file.name.lower().startswith("kg.")]
    if single:
        nodes, edges = _from_one(single[0])
    else:
        nodes = read_columns(find_file(path, "nodes"), [f"node_{name}" for name in _NODE]).rename_columns(_NODE)
        ends = dict.fromkeys(("x_index", "y_index"), nodes["index"])
        edges = read_columns(find_file(path, "edges"), ["display_relation", *ends], forms=ends)
    ids = _concept_ids(nodes)
    edges = edges.filter(pc.not_equal(edges["display_relation"], "phenotype absent"))
    heads, tails = (ids.take(pa.array(positions(edges[name], nodes["index"]))) for name in ("x_index", "y_index"))
    types = pa.ListArray.from_arrays(pa.array(np.arange(len(nodes) + 1), pa.int32()), nodes["type"].combine_chunks())
    return KnowledgeGraph.from_columns(
        concepts=(ids, nodes["name"], types), relations=(heads, edges["display_relation"], tails)
    )


def _from_one(file: Path) -> tuple[pa.Table, pa.Table]:
    columns = [f"{end}_{name}" for end in "xy" for name in _NODE]
    rows = read_columns(file, ["display_relation", *columns])
    both = pa.concat_tables([rows.select([f"{end}_{name}" for name in _NODE]).rename_columns(_NODE) for end in "xy"])
    index = positions(both["index"], both["index"].unique())
    return both.take(pa.array(first_rows(index))), rows


def _concept_ids(nodes: pa.Table) -> pa.Array:
    padded = pc.is_in(nodes["source"], value_set=pa.array(_PADDED))
    local = pc.if_else(padded, pc.utf8_lpad(nodes["id"], 7, "0"), nodes["id"])
    return pc.binary_join_element_wise(pc.utf8_upper(renamed(nodes["source"], _PREFIXES)), local, ":")
