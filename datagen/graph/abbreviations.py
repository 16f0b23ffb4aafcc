"""Inventories of abbreviations, two published forms: ADAM (Zhou et al. 2006) and a CSV of clinical ones.

The CSV (https://github.com/lisavirginia/clinical-abbreviations) has short_form, long_form and sense_frequency, the
share of the sense among those of its short form in one set of notes. ADAM has five columns and no header: the
preferred abbreviation; its variants, `form:count|...`; the long forms, `form:count:score|...`; score; count.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from datagen.graph.source_files import first_line, read_columns
from datagen.graph.tables import KnowledgeGraph

_OCCURRENCES = 1_000_000
"""A share is written as a count among this many occurrences of the short form: clinical notes outweigh MEDLINE."""
_SHARE = r"([01](\.\d*)?|\d(\.\d*)?[eE]-\d+|\.\d+)?"
_VARIANT, _LONG_FORM = r"[^|]*:\d{1,9}", r"[^|]*:\d{1,9}:[^|:]*"
_ADAM_LISTS = {
    "variants": rf"{_VARIANT}(\|{_VARIANT})*",
    "long_forms": rf"{_LONG_FORM}(\|{_LONG_FORM})*",
}


def read_abbreviations(path: Path) -> KnowledgeGraph:
    """The senses of all short forms as written; the same pair from several lists of the file has its counts added."""
    counts: Counter[tuple[str, str]] = Counter()
    for short_form, long_form, count in _adam(path) if first_line(path).startswith("#") else _clinical(path):
        if short_form and long_form and short_form != long_form:
            counts[short_form, long_form] += count
    return KnowledgeGraph.from_rows(senses=[(*pair, count) for pair, count in counts.items()])


def _clinical(path: Path) -> Iterator[tuple[str, str, int]]:
    forms = {"sense_frequency": _SHARE}
    for row in read_columns(path, ("short_form", "long_form"), ("sense_frequency",), forms=forms).to_pylist():
        yield row["short_form"], row["long_form"], round(float(row["sense_frequency"] or 0) * _OCCURRENCES)


def _adam(path: Path) -> Iterator[tuple[str, str, int]]:
    names = ("preferred", *_ADAM_LISTS)
    header = (*names, "score", "count")
    for row in read_columns(path, names, header=header, delimiter="\t", quoted=False, forms=_ADAM_LISTS).to_pylist():
        preferred = row["preferred"]
        longs = [form.rsplit(":", 2) for form in row["long_forms"].split("|")]
        shorts = [form.rsplit(":", 1) for form in row["variants"].split("|")]
        yield from ((preferred, long_form, int(count)) for long_form, count, _ in longs)
        yield from ((short, longs[0][0], int(count)) for short, count in shorts if short != preferred)
