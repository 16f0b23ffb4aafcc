"""Tables with a note in each row, CSV or Parquet: as published, and as the note table itself is named.

mimic3   NOTEEVENTS of MIMIC-III 1.4: https://mimic.mit.edu/docs/iii/tables/noteevents
mimic4   discharge summaries and radiology reports of MIMIC-IV-Note 2.2: https://physionet.org/content/mimic-iv-note
omop     NOTE of the OMOP common data model 5.4: https://ohdsi.github.io/CommonDataModel/cdm54.html#note
parquet  columns named as the note table's; other columns are ignored
"""

from typing import Any, ClassVar

from corpus.sources.table import TableSource, columns_named


class Mimic3Source(TableSource):
    """Every note that is not marked as an error."""

    names = ("noteevents.csv", "noteevents.csv.gz")
    columns = columns_named(
        note_id="row_id",
        patient_id="subject_id",
        encounter_id="hadm_id",
        note_type="category",
        note_time="charttime chartdate",
    )
    also: ClassVar[tuple[str, ...]] = ("iserror",)

    def left_out(self, row: dict[str, Any]) -> str | None:
        # Exports write the mark as 1, 1.0 or in spaces; none is empty, or zero.
        mark = str(row["iserror"] or "").strip().lower()
        return None if mark in ("", "0", "0.0", "nan", "null", "false") else "withdrawn"


class Mimic3FirstDischargeSummary(Mimic3Source):
    """The first discharge summary of each admission in file order, named by its HADM_ID.

    So chunk ids are `<HADM_ID>_<i>`, as in CliniQ's corpus. Like the published code it does not look at DESCRIPTION.
    """

    columns = Mimic3Source.columns | {"note_id": ("hadm_id",)}
    also = ("iserror", "category")

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


class Mimic4Source(TableSource):
    names: ClassVar[tuple[str, ...]] = ("discharge.csv", "discharge.csv.gz", "radiology.csv", "radiology.csv.gz")
    columns = columns_named(patient_id="subject_id", encounter_id="hadm_id", note_time="charttime")


class Mimic4DischargeSummaries(Mimic4Source):
    """The discharge summary of each admission, as DR.EHR trains on; no addenda and no radiology reports."""

    names = ("discharge.csv", "discharge.csv.gz")

    def left_out(self, row: dict[str, Any]) -> str | None:
        return None if row.get("note_type") == "DS" else "other_type"


class OmopSource(TableSource):
    names = ("note.csv", "note.csv.gz", "note.parquet")
    columns = columns_named(
        patient_id="person_id",
        encounter_id="visit_occurrence_id",
        note_type="note_title note_class_concept_id",
        note_time="note_datetime note_date",
        text="note_text",
    )


class ParquetSource(TableSource):
    names = ("*.parquet",)
    columns = columns_named(version="version", source="source")
