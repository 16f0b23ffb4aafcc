"""The tables that pass between rooms, as Arrow schemas, and the bucket that places a patient.

A note is the truth; chunks and vectors derive from it. Times are UTC; ids are strings.
"""

import pyarrow as pa
import xxhash

N_BUCKETS = 4096
"""Buckets are fixed for good: a shard is a list of buckets, so resharding never moves a patient out of one."""

NOTE_SCHEMA = pa.schema(
    [
        pa.field("note_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("encounter_id", pa.string()),
        pa.field("note_type", pa.string(), nullable=False),
        pa.field("note_time", pa.timestamp("us", tz="UTC")),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)

CHUNK_SCHEMA = pa.schema(
    [
        pa.field("chunk_id", pa.string(), nullable=False),
        *(field for field in NOTE_SCHEMA),
        pa.field("char_start", pa.int64(), nullable=False),
        pa.field("char_end", pa.int64(), nullable=False),
        pa.field("bucket", pa.int32(), nullable=False),
    ]
)
"""`text` is the cleaned chunk; `char_start:char_end` is its span in the ORIGINAL text of the note."""

REMOVED_SCHEMA = pa.schema(
    [
        pa.field("note_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("removed_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
"""A note of which nothing is left up to this version: it was removed, or cleans to nothing in the version after."""


def bucket_of(patient_id: str) -> int:
    """The patient's fixed bucket in `range(N_BUCKETS)`: xxh64 of the UTF-8 id, modulo the number of buckets."""
    return xxhash.xxh64_intdigest(patient_id.encode()) % N_BUCKETS
