"""Inventories of abbreviations, two published forms: ADAM (Zhou et al. 2006) and a CSV of clinical ones.

The CSV (https://github.com/lisavirginia/clinical-abbreviations) has short_form, long_form and sense_frequency, the
share of the sense among those of its short form in one set of notes. ADAM has five columns and no header: the
preferred abbreviation; its variants, `form:count|...`; the long forms, `form:count:score|...`; score; count.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from datagen.graph.source_files import FETCH_AGAIN, read_columns, read_text
from datagen.graph.tables import KnowledgeGraph

_OCCURRENCES = 1_000_000
"""A share is written as a count among this many occurrences of the short form: clinical notes outweigh MEDLINE."""


def read_abbreviations(path: Path) -> KnowledgeGraph:
    """The senses of all short forms as written; the same pair from several lists of the file has its counts added."""
    counts: Counter[tuple[str, str]] = Counter()
    for short_form, long_form, count in _adam(path) if read_text(path).startswith("#") else _clinical(path):
        if short_form and long_form and short_form != long_form:
            counts[short_form, long_form] += count
    return KnowledgeGraph.from_rows(senses=[(*pair, count) for pair, count in counts.items()])


def _clinical(path: Path) -> Iterator[tuple[str, str, int]]:
    rows = read_columns(path, ("short_form", "long_form"), optional=("sense_frequency",)).to_pylist()
    for number, row in enumerate(rows, start=1):
        try:
            yield row["short_form"], row["long_form"], round(float(row["sense_frequency"] or 0) * _OCCURRENCES)
        except ValueError:
            raise ValueError(f"{path}: entry {number} has a sense_frequency that is no number; correct it") from None


def _adam(path: Path) -> Iterator[tuple[str, str, int]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.startswith("#"):
            continue
        try:
            preferred, variants, long_forms, _, _ = line.split("\t")
            longs = [form.rsplit(":", 2) for form in long_forms.split("|")]
            shorts = [form.rsplit(":", 1) for form in variants.split("|")]
            yield from ((preferred, long_form, int(count)) for long_form, count, _ in longs)
            yield from ((short, longs[0][0], int(count)) for short, count in shorts if short != preferred)
        except ValueError:
            raise ValueError(f"{path}: line {number} is not of ADAM's form; {FETCH_AGAIN}") from None
