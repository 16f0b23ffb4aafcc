"""MIMIC-IV-Note 2.2 (physionet.org/content/mimic-iv-note): discharge summaries and radiology reports."""

from typing import Any, ClassVar

from corpus.sources.table import Columns, TableSource


class Mimic4Source(TableSource):
    names: ClassVar[tuple[str, ...]] = ("discharge.csv", "discharge.csv.gz", "radiology.csv", "radiology.csv.gz")
    columns: ClassVar[Columns] = {
        "note_id": ("note_id",),
        "patient_id": ("subject_id",),
        "encounter_id": ("hadm_id",),
        "note_type": ("note_type",),
        "note_time": ("charttime",),
        "text": ("text",),
    }


class Mimic4DischargeSummaries(Mimic4Source):
    """The discharge summary of each admission, as DR.EHR trains on; no addenda and no radiology reports."""

    names = ("discharge.csv", "discharge.csv.gz")

    def left_out(self, row: dict[str, Any]) -> str | None:
        return None if row.get("note_type") == "DS" else "other_type"
