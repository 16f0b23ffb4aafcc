"""Notes to the rows of the chunk table."""

from typing import Any

import pyarrow as pa

from corpus.chunking import ChunkingSettings, chunk_note
from corpus.tables import CHUNK_SCHEMA, bucket_of


def chunk_rows(notes: pa.RecordBatch | pa.Table, chunking: ChunkingSettings) -> pa.Table:
    """The chunks (CHUNK_SCHEMA) of some notes (NOTE_SCHEMA), in order."""
    rows: list[dict[str, Any]] = []
    for note in notes.to_pylist():
        bucket = bucket_of(note["patient_id"])
        for i, span in enumerate(chunk_note(note["text"], chunking)):
            rows.append({**note, **span._asdict(), "chunk_id": f"{note['note_id']}_{i}", "bucket": bucket})
    return pa.Table.from_pylist(rows, schema=CHUNK_SCHEMA)
