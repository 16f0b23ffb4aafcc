"""One raw row to one row of the note table, or the reason why not."""

from datetime import UTC, date, datetime
from typing import Any

from corpus.sources.base import REQUIRED, BadRow


def parse_note(raw: dict[str, Any], source: str) -> dict[str, Any] | BadRow:
    """A row of `corpus.tables.NOTE_SCHEMA`; `source` names it where the row does not.

    Whole numbers are taken as ids, floats too; a time without a zone is taken as UTC; `version` is 1 where absent.
    """
    note: dict[str, Any] = {}
    for column in (*REQUIRED, "encounter_id", "note_type", "source"):
        value = raw.get(column) if column == "text" else _id(raw.get(column))
        if column in REQUIRED and (value is None or (isinstance(value, str) and not value.strip())):
            return BadRow("missing_value", column)
        if value is not None and not isinstance(value, str):
            return BadRow("wrong_type", column)
        if column in ("note_id", "patient_id") and value in (".", ".."):
            return BadRow("not_an_id", column)  # no URL can name it
        note[column] = value or None
    note["note_type"] = note["note_type"] or "unknown"
    note["source"] = note["source"] or source
    version = 1 if raw.get("version") is None else raw["version"]
    if not isinstance(version, int) or isinstance(version, bool):
        return BadRow("wrong_type", "version")
    if not 0 <= version < 2**63:
        return BadRow("out_of_range", "version")
    note["version"] = version
    for column, value in note.items():
        try:
            str(value).encode()
        except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, UTF-8 cannot.
            return BadRow("not_unicode", column)
    time = _parse_time(raw.get("note_time"))
    return time if isinstance(time, BadRow) else {**note, "note_time": time}


def _id(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    return str(int(value)) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else value


def _parse_time(value: Any) -> datetime | BadRow | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return BadRow("not_a_time", "note_time")
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return BadRow("wrong_type", "note_time")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return BadRow("out_of_range", "note_time")
