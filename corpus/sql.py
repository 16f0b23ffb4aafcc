"""Conditions for Lance's filters, which are SQL."""

from collections.abc import Collection


def among(column: str, values: Collection[str]) -> str | None:
    """`column IN (...)`, None for no values; values are quoted, so that none becomes syntax."""
    quoted = ("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({','.join(quoted)})" if values else None
