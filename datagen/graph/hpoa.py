"""Phenotypes of rare diseases: `phenotype.hpoa` of the Human Phenotype Ontology.

Format: https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/, with the header of 2023
and before (`#DatabaseID`) or after (`database_id`).
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from datagen.graph.grouping import distinct
from datagen.graph.labelled import labelled_concepts
from datagen.graph.source_files import read_columns
from datagen.graph.tables import RELATIONS_SCHEMA, KnowledgeGraph

_RELATIONS = {
    "P": "has_phenotype",
    "I": "has_inheritance",
    "C": "has_clinical_course",
    "M": "has_clinical_modifier",
    "H": "has_past_medical_history",
}


def read_hpoa(path: Path) -> KnowledgeGraph:
    """Diseases by OMIM, ORPHA or DECIPHER id, and one relation per annotation, its type after the aspect.

    Rows with the qualifier NOT say that a disease goes without the phenotype; they are left out.
    """
    columns = ("database_id", "disease_name", "qualifier", "hpo_id", "aspect")
    rows = read_columns(path, columns, quoted=False)
    rows = rows.filter(pc.not_equal(rows["qualifier"], "NOT"))
    aspect = pc.index_in(rows["aspect"], value_set=pa.array(list(_RELATIONS)))
    kind = pc.coalesce(pc.take(pa.array(list(_RELATIONS.values())), aspect), rows["aspect"])
    labels = distinct(rows.select(["database_id", "disease_name"]))
    named = KnowledgeGraph.from_rows(
        *labelled_concepts(zip(labels["database_id"].to_pylist(), labels["disease_name"].to_pylist(), strict=True))
    )
    relations = distinct(pa.table([rows["database_id"], kind, rows["hpo_id"]], schema=RELATIONS_SCHEMA))
    return KnowledgeGraph(named.concepts, named.terms, relations=relations)
