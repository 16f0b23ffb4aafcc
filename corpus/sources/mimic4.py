"""MIMIC-IV-Note 2.2 (physionet.org/content/mimic-iv-note): discharge summaries and radiology reports."""

from typing import ClassVar

from corpus.sources.table import Columns, TableSource


class Mimic4Source(TableSource):
    names = ("discharge.csv", "discharge.csv.gz", "radiology.csv", "radiology.csv.gz")
    columns: ClassVar[Columns] = {
        "note_id": ("note_id",),
        "patient_id": ("subject_id",),
        "encounter_id": ("hadm_id",),
        "note_type": ("note_type",),
        "note_time": ("charttime",),
        "text": ("text",),
    }
