"""Note sources: one class a format, all yielding raw rows that `corpus.notes` turns into the note table."""

from typing import Literal

from corpus.sources.base import BadRow, LeftOut, NoteSource
from corpus.sources.fhir import FhirSource
from corpus.sources.jsonl import JsonlSource
from corpus.sources.note_tables import Mimic3Source, Mimic4Source, OmopSource, ParquetSource
from corpus.sources.text import TextSource

Format = Literal["fhir", "jsonl", "mimic3", "mimic4", "omop", "parquet", "text"]

SOURCES: dict[Format, type[NoteSource]] = {
    "fhir": FhirSource,
    "jsonl": JsonlSource,
    "mimic3": Mimic3Source,
    "mimic4": Mimic4Source,
    "omop": OmopSource,
    "parquet": ParquetSource,
    "text": TextSource,
}

__all__ = ["SOURCES", "BadRow", "Format", "LeftOut", "NoteSource"]
