"""NOTE of the OMOP common data model 5.4 (ohdsi.github.io/CommonDataModel/cdm54.html#note), CSV or Parquet."""

from typing import ClassVar

from corpus.sources.table import Columns, TableSource


class OmopSource(TableSource):
    names = ("note.csv", "note.csv.gz", "note.parquet")
    columns: ClassVar[Columns] = {
        "note_id": ("note_id",),
        "patient_id": ("person_id",),
        "encounter_id": ("visit_occurrence_id",),
        "note_type": ("note_title", "note_class_concept_id"),
        "note_time": ("note_datetime", "note_date"),
        "text": ("note_text",),
    }
