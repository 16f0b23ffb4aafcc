"""NOTEEVENTS of MIMIC-III 1.4 (mimic.mit.edu/docs/iii/tables/noteevents): all notes, or as DR.EHR and CliniQ do."""

from typing import Any, ClassVar

from corpus.sources.table import Columns, TableSource


class Mimic3Source(TableSource):
    """Every note that is not marked as an error."""

    names = ("noteevents.csv", "noteevents.csv.gz")
    columns: ClassVar[Columns] = {
        "note_id": ("row_id",),
        "patient_id": ("subject_id",),
        "encounter_id": ("hadm_id",),
        "note_type": ("category",),
        "note_time": ("charttime", "chartdate"),
        "text": ("text",),
    }
    also: ClassVar[tuple[str, ...]] = ("iserror",)

    def left_out(self, row: dict[str, Any]) -> str | None:
        # Exports write the mark as 1, 1.0 or in spaces; none is empty, or zero.
        mark = str(row["iserror"] or "").strip().lower()
        return None if mark in ("", "0", "0.0", "nan", "null", "false") else "withdrawn"


class Mimic3FirstDischargeSummary(Mimic3Source):
    """The first discharge summary of each admission in file order, named by its HADM_ID.

    So chunk ids are `<HADM_ID>_<i>`, as in CliniQ's corpus. Like the published code it does not look at DESCRIPTION.
    """

    columns: ClassVar[Columns] = {**Mimic3Source.columns, "note_id": ("hadm_id",)}
    also: ClassVar[tuple[str, ...]] = ("iserror", "category")

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def left_out(self, row: dict[str, Any]) -> str | None:
        if reason := super().left_out(row):
            return reason
        if row["category"] != "Discharge summary":
            return "other_category"
        if row["hadm_id"] in self._seen:
            return "later_discharge_summary"
        self._seen.add(row["hadm_id"])
        return None
