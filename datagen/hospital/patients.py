"""One synthetic patient as a pure function of the settings and an index, and a range of them as a Parquet file."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from corpus.tables import NOTE_SCHEMA
from datagen.hospital.chart import newborn_chart, next_visit
from datagen.hospital.facts import world
from datagen.hospital.lexicon import Mention
from datagen.hospital.notes import NoteWriter
from datagen.hospital.settings import HospitalSettings


class Note(NamedTuple):
    """A row of the note table and the truth about it."""

    row: dict[str, Any]
    mentions: tuple[Mention, ...]


class Patient(NamedTuple):
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
    counts: Counter[str] = Counter()
    while len(written) < wanted:
        counts["E"] += 1
        visit, kinds = next_visit(chart, start)
        for number, kind in enumerate(kinds[: wanted - len(written)]):
            counts[kind] += 1
            time = visit.end if kind in ("DS", "ML") else min(visit.start + timedelta(days=number), visit.end)
            writer = NoteWriter(chart, visit, brackets, time)
            writer.write(facts.phrases["notes"][kind]["holds"])
            row = {
                "note_id": f"{patient_id(index)}-{kind}-{counts[kind]}",
                "version": 1,
                "patient_id": patient_id(index),
                "encounter_id": f"{patient_id(index)}-E{counts['E']}",
                "note_type": facts.phrases["notes"][kind]["type"],
                "note_time": time + timedelta(hours=8 + number, minutes=rng.randint(0, 59)),
                "text": writer.text,
                "source": "synthetic",
            }
            written.append(Note(row, tuple(writer.mentions)))
        if visit.acute:
            chart.past[visit.acute.concept_id] = visit.start.year
        start = visit.end + timedelta(days=rng.randint(20, 240))
    return Patient(patient_id(index), tuple(written))


def write_notes(settings: HospitalSettings, first: int, last: int, path: str | Path) -> None:
    """Write the notes of patients `first` .. `last - 1` as one Parquet file in NOTE_SCHEMA."""
    rows = [note.row for index in range(first, last) for note in generate_patient(settings, index).notes]
    pq.write_table(pa.Table.from_pylist(rows, schema=NOTE_SCHEMA), path)
