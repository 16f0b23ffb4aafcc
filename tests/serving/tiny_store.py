"""Small stores: notes a reader understands, written through the real chunking into Lance."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from corpus.chunking import ChunkingSettings, chunk_note
from corpus.store import CHUNKING, STORE_ID, Store
from corpus.tables import CHUNK_SCHEMA, NOTE_SCHEMA, bucket_of
from serving.manifest import IndexKind
from serving.release import build_release, searchable_chunks

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


def write_store(store: Path, notes: list[dict], fingerprint: str, vectors_of: Callable) -> list[dict]:
    """Write notes, their chunks and vectors as a Lance store; the chunks."""
    chunks = [
        {**note, "chunk_id": f"{note['note_id']}_{i}", **span._asdict(), "bucket": bucket_of(note["patient_id"])}
        for note in notes
        for i, span in enumerate(chunk_note(note["text"], ChunkingSettings()))
    ]
    vectors = np.asarray(vectors_of([chunk["text"] for chunk in chunks]), np.float32)
    table = {
        "chunk_id": pa.array([chunk["chunk_id"] for chunk in chunks], pa.string()),
        "version": pa.array([chunk["version"] for chunk in chunks], pa.int64()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
    }
    store.mkdir(parents=True, exist_ok=True)
    (store / STORE_ID).write_text(uuid.uuid4().hex)
    (store / CHUNKING).write_text(ChunkingSettings().model_dump_json())
    for name, content in (
        ("notes", pa.Table.from_pylist(notes, schema=NOTE_SCHEMA)),
        ("chunks", pa.Table.from_pylist(chunks, schema=CHUNK_SCHEMA)),
        (f"vectors/{fingerprint}", pa.table(table)),
    ):
        lance.write_dataset(content, str(store / f"{name}.lance"), enable_stable_row_ids=True)
    return chunks


def release_of(
    store: Path, fingerprint: str, encoder: str | Path, output: Path, shards: int, kind: IndexKind | None = None
) -> None:
    """Write the release of the store as it is now into `output`."""
    chunks = searchable_chunks(Store(store))
    build_release(Store(store), chunks, fingerprint, encoder, drawn, output, shards, kind)


def drawn(texts: list[str], dimension: int = 8) -> np.ndarray:
    """Vectors that depend on the text alone."""
    return np.stack([np.random.default_rng(list(text.encode())).normal(size=dimension) for text in texts])
