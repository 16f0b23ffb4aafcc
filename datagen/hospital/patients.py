"""One synthetic patient as a pure function of the settings and an index, and a range of them as a Parquet file."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.tables import NOTE_SCHEMA
from datagen.hospital import notes
from datagen.hospital.chart import Chart, newborn_chart
from datagen.hospital.facts import world
from datagen.hospital.settings import HospitalSettings
from datagen.hospital.visits import Visit, admit, attend
from datagen.hospital.writer import Mention, Writer, pick_author

_WRITERS = {
    "DS": ("discharge summary", notes.discharge_summary),
    "PN": ("progress note", notes.progress_note),
    "CL": ("clinic letter", notes.clinic_letter),
    "RR": ("radiology report", notes.radiology_report),
    "ML": ("medication list", notes.medication_list),
}


@dataclass(frozen=True)
class Note:
    """A row of the note table and the truth about it."""

    row: dict[str, Any]
    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class Patient:
    """A patient's notes in order of time."""

    patient_id: str
    notes: tuple[Note, ...]


def patient_id(index: int) -> str:
    """`S` and seven digits."""
    return f"S{index:07d}"


def generate_patient(settings: HospitalSettings, index: int) -> Patient:
    """Patient `index`: the same for the same seed and the same side of the train/benchmark line, in any process.

    Raises ValueError where the index is outside `range(patients + benchmark_patients)`.
    """
    if not 0 <= index < settings.patients + settings.benchmark_patients:
        raise ValueError(f"patient index {index} is outside 0..{settings.patients + settings.benchmark_patients - 1}")
    known = world(settings.seed)
    facts = known.training if index < settings.patients else known.everything
    rng = random.Random(f"patient {settings.seed} {index}")
    start = datetime(rng.randint(2009, 2021), rng.randint(1, 12), rng.randint(1, 28), tzinfo=UTC)
    chart = newborn_chart(facts, rng, start.year)
    wanted = rng.choices(range(1, 13), [6, 10, 14, 16, 14, 11, 9, 7, 5, 4, 2, 2])[0]
    brackets = rng.random() < 0.5
    written: list[Note] = []
    counts = dict.fromkeys(_WRITERS, 0)
    visits = 0
    while len(written) < wanted:
        visits += 1
        visit, kinds = _visit(chart, start)
        for number, kind in enumerate(kinds):
            if len(written) == wanted:
                break
            counts[kind] += 1
            name, write = _WRITERS[kind]
            time = visit.end if kind in ("DS", "ML") else visit.start + timedelta(days=min(number, visit.days))
            writer = Writer(chart, pick_author(rng, brackets), rng, time)
            write(notes.NoteSections(writer, chart, visit))
            row = {
                "note_id": f"{patient_id(index)}-{kind}-{counts[kind]}",
                "version": 1,
                "patient_id": patient_id(index),
                "encounter_id": f"{patient_id(index)}-E{visits}",
                "note_type": name,
                "note_time": time + timedelta(hours=8 + number, minutes=rng.randint(0, 59)),
                "text": writer.text,
                "source": "synthetic",
            }
            written.append(Note(row, tuple(writer.mentions)))
        if visit.acute:
            chart.past[visit.acute.concept_id] = visit.start.year
        start = visit.end + timedelta(days=rng.randint(20, 240))
    return Patient(patient_id(index), tuple(written))


def _visit(chart: Chart, start: datetime) -> tuple[Visit, list[str]]:
    """The next visit and the notes it yields, in order of time."""
    rng = chart.rng
    roll = rng.random()
    if roll < 0.5:
        visit = admit(chart, start)
        if visit.acute:
            imaging = ["RR"] if rng.random() < (0.7 if visit.acute.imaging else 0.15) else []
            return visit, [*imaging, *["PN"] * rng.choice([0, 1, 1, 2]), "DS", *(["ML"] if rng.random() < 0.15 else [])]
    if roll < 0.9:
        return attend(chart, start), ["CL", *(["ML"] if rng.random() < 0.3 else [])]
    return attend(chart, start), ["RR"]


def write_notes(settings: HospitalSettings, first: int, last: int, path: str | Path) -> None:
    """Write the notes of patients `first` .. `last - 1` as one Parquet file in NOTE_SCHEMA."""
    rows = [note.row for index in range(first, last) for note in generate_patient(settings, index).notes]
    pq.write_table(pa.Table.from_pylist(rows, schema=NOTE_SCHEMA), path)
