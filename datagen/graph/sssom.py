"""Mappings between vocabularies in SSSOM/TSV (https://mapping-commons.github.io/sssom/), such as Mondo to UMLS."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.curies import normalise
from datagen.graph.grouping import distinct
from datagen.graph.labelled import labelled_concepts
from datagen.graph.source_files import read_columns
from datagen.graph.tables import XREFS_SCHEMA, KnowledgeGraph

_SAME = ("skos:exactMatch", "owl:equivalentClass", "owl:sameAs")


def read_sssom(path: Path) -> KnowledgeGraph:
    """Mappings to the same thing as xrefs; broader, narrower, close and denied ones (`Not`) are left out.

    Subjects that have a label are concepts.
    """
    optional = ("subject_label", "predicate_modifier")
    rows = read_columns(path, ("subject_id", "predicate_id", "object_id"), optional=optional)
    same = pc.is_in(rows["predicate_id"], value_set=pa.array(_SAME))
    rows = rows.filter(pc.and_(same, pc.equal(rows["predicate_modifier"], "")))
    if not len(rows):
        raise ValueError(f"{path}: maps nothing to the same thing ({', '.join(_SAME)}); give an exact mapping")
    labels = zip(rows["subject_id"].to_pylist(), rows["subject_label"].to_pylist(), strict=True)
    named = KnowledgeGraph.from_rows(*labelled_concepts(labels))
    xrefs = pa.table([rows["subject_id"], normalise(rows["object_id"])], names=XREFS_SCHEMA.names).drop_null()
    return KnowledgeGraph(named.concepts, named.terms, xrefs=distinct(xrefs.cast(XREFS_SCHEMA)))
