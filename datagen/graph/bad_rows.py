"""Rows of a source that are set aside so that the others can be read: counted, and the first of them named."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_BAD_SHARE = 0.05
"""A file of which more is bad is refused: it is damaged, or of another form."""
_NAMED = 100


@dataclass
class BadRows:
    """How many there are, and file, row (counted from 1) and reason code of the first; never what stands in them."""

    count: int = 0
    first: list[dict[str, Any]] = field(default_factory=list)


_collected: ContextVar[BadRows | None] = ContextVar("bad_rows", default=None)


@contextmanager
def bad_rows() -> Iterator[BadRows]:
    """The rows that readers set aside inside of the context."""
    collected = BadRows()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def set_aside(file: Path, reasons: Mapping[int, str], n_rows: int) -> None:
    """Notes the bad rows, by number, of a file. Raises ValueError if they are too many of its `n_rows` rows."""
    rows = sorted(reasons)
    if len(rows) > MAX_BAD_SHARE * n_rows:
        raise ValueError(
            f"{file}: {len(rows)} of {n_rows} rows cannot be used, the first is row {rows[0]} ({reasons[rows[0]]}); "
            "the file may be cut, damaged or of another form: fetch it again or correct it"
        )
    if collected := _collected.get():
        collected.count += len(rows)
        named = rows[: _NAMED - len(collected.first)]
        collected.first += [{"file": str(file), "row": row, "reason": reasons[row]} for row in named]
