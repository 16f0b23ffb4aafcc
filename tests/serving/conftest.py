"""A small store: 24 patients, three notes each, encoded by the bundled encoder; and its release of two shards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from corpus.chunking import ChunkingSettings, chunk_note
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA, bucket_of
from encoders.encoder import Encoder
from serving.release import build_release

CANARY_PATIENT = "patient-canary-7f3a"
SUBJECTS = [
    ("acute kidney injury", "Creatinine rose from 1.1 to 3.2 after contrast.", "furosemide"),
    ("type 2 diabetes mellitus", "HbA1c 9.1 percent, on metformin.", "insulin glargine"),
    ("community acquired pneumonia", "Right lower lobe infiltrate on chest film.", "ceftriaxone"),
    ("atrial fibrillation", "Irregularly irregular rhythm, anticoagulated.", "apixaban"),
    ("asthma exacerbation", "Wheezing, peak flow reduced.", "prednisone"),
    ("iron deficiency anaemia", "Ferritin 6, haemoglobin 8.2.", "ferrous sulfate"),
]
TYPES = ["discharge summary", "progress note", "radiology report"]


def make_notes(patients: int = 24) -> list[dict]:
    notes = []
    for number in range(patients):
        patient = CANARY_PATIENT if number == 0 else f"patient-{number:02}"
        for visit, note_type in enumerate(TYPES):
            problem, finding, drug = SUBJECTS[(number + visit) % len(SUBJECTS)]
            text = (
                f"Visit {visit} of a patient aged {40 + number}.\n\nAssessment:  {problem}. {finding}\n"
                f"Plan: continue {drug}, follow up in clinic. " + "Vital signs stable, no acute distress. " * 20
            )
            time = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=30 * visit + number)
            note = {"note_id": f"note-{number:02}-{visit}", "version": 1, "patient_id": patient}
            note |= {"encounter_id": None, "note_type": note_type, "text": text}
            notes.append(note | {"note_time": time if number % 5 else None, "source": f"ward-{number % 2}"})
    return notes


def write_store(store: Path, notes: list[dict], encoder: Encoder) -> list[dict]:
    """Write notes, their chunks and vectors as a Lance store; the chunks."""
    chunks = [
        {**note, "chunk_id": f"{note['note_id']}_{i}", **span._asdict(), "bucket": bucket_of(note["patient_id"])}
        for note in notes
        for i, span in enumerate(chunk_note(note["text"], ChunkingSettings()))
    ]
    vectors = encoder.encode_passages([chunk["text"] for chunk in chunks])
    schema = pa.schema(
        [
            ("chunk_id", pa.string()),
            ("version", pa.int64()),
            ("vector", pa.list_(pa.float32(), encoder.spec.dimension)),
        ]
    )
    rows = [
        {"chunk_id": chunk["chunk_id"], "version": chunk["version"], "vector": vector}
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]
    for name, data, table_schema in (
        ("notes", notes, NOTE_SCHEMA),
        ("chunks", chunks, CHUNK_SCHEMA),
        (f"vectors/{encoder.fingerprint}", rows, schema),
    ):
        table = pa.Table.from_pylist(data, schema=table_schema)
        lance.write_dataset(table, str(store / f"{name}.lance"), enable_stable_row_ids=True)
    return chunks


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder.load("bundled")


@pytest.fixture(scope="session")
def store(tmp_path_factory, encoder) -> Path:
    path = tmp_path_factory.mktemp("store")
    write_store(path, make_notes(), encoder)
    return path


@pytest.fixture(scope="session")
def release(store, encoder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("release") / "first"
    build_release(store, encoder.fingerprint, "bundled", path, shards=2)
    return path
