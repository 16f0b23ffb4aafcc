"""Note sources: one file a format, all yielding raw rows that `corpus.notes` turns into the note table."""

from typing import Literal

from corpus.sources.base import BadRow, LeftOut, NoteSource
from corpus.sources.fhir import FhirSource
from corpus.sources.jsonl import JsonlSource
from corpus.sources.mimic3 import Mimic3Source
from corpus.sources.mimic4 import Mimic4Source
from corpus.sources.omop import OmopSource
from corpus.sources.parquet import ParquetSource
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
