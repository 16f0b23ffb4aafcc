"""Notes that may be trained on, with their chunks.

Notes, not chunks, are what is read: whether a note may be trained on, which abbreviations it defines and what a heading
governs are questions about the whole of it. Its chunks are cut again as the store cut them, with the same ids.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import ray
from ray.data import Dataset

from corpus.chunking import ChunkingSettings, Cleaned, windows
from corpus.store import Store
from datagen.guard import Guard

NOTES_AT_ONCE = 100


class TrainingNote(NamedTuple):
    """A note that may be trained on: its cleaned text and the spans of its chunks in that."""

    note_id: str
    text: str
    spans: list[tuple[int, int]]

    def chunks(self) -> Iterator[tuple[str, str]]:
        """(chunk_id, text) of each chunk."""
        for i, (start, end) in enumerate(self.spans):
            yield f"{self.note_id}_{i}", self.text[start:end]


def read_notes(store: Store) -> Dataset:
    """The notes of a store, with the columns that `training_notes` takes."""
    columns = ["note_id", "encounter_id", "patient_id", "text"]
    return ray.data.read_lance(str(store.notes_path), columns=columns)


def training_notes(
    notes: pa.Table, guard: Guard, chunking: ChunkingSettings, counts: Counter[str]
) -> list[TrainingNote]:
    """Those that the guard admits; the others are counted by the rule that left them out."""
    admitted: list[TrainingNote] = []
    for note in notes.to_pylist():
        if rule := guard.rule_for_note(**note):
            counts[f"left_out_{rule}"] += 1
            continue
        text = Cleaned(note["text"], chunking.profile).text
        admitted.append(TrainingNote(note["note_id"], text, list(windows(text, chunking))))
    return admitted
