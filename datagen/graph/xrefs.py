"""Cross-references as a table of id, label and xref: the Disease Ontology's report `allXREFinDO.tsv`."""

from pathlib import Path

import pyarrow as pa

from datagen.graph.curies import normalise
from datagen.graph.grouping import distinct
from datagen.graph.labelled import labelled_concepts
from datagen.graph.source_files import read_columns
from datagen.graph.tables import XREFS_SCHEMA, KnowledgeGraph


def read_xrefs(path: Path) -> KnowledgeGraph:
    """Each row as an xref; ids and labels define concepts that are newer than the ontology at hand."""
    rows = read_columns(path, ("id", "label", "xref"))
    labels = zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True)
    named = KnowledgeGraph.from_rows(*labelled_concepts(labels))
    xrefs = pa.table([rows["id"], normalise(rows["xref"])], names=XREFS_SCHEMA.names).drop_null().cast(XREFS_SCHEMA)
    return KnowledgeGraph(named.concepts, named.terms, xrefs=distinct(xrefs))
