"""Rows of a Lance table, by the values of a column."""

from collections.abc import Collection
from pathlib import Path

import lance
import pyarrow as pa


def among(column: str, values: Collection[str]) -> str | None:
    """`column IN (...)`, None for no values; values are quoted, so that none becomes syntax."""
    quoted = ("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({','.join(quoted)})" if values else None


def replace_rows(path: Path, key: str, rows: pa.Table, gone: str | None = None) -> None:
    """In one commit: put `rows` in, over those with the same key, and delete the other rows for which `gone` holds."""
    dataset = lance.dataset(path)
    if len(rows):
        merge = dataset.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
        (merge.when_not_matched_by_source_delete(gone) if gone else merge).execute(rows)
    elif gone and dataset.count_rows(filter=gone):
        dataset.delete(gone)


def differing(one: pa.Table, other: pa.Table, key: list[str], wanted: str) -> list[str]:
    """Values of the column `wanted` in rows whose key only one of the tables has."""
    return (
        pa.concat_tables([_only(one, other, key, wanted), _only(other, one, key, wanted)])[wanted].unique().to_pylist()
    )


def _only(one: pa.Table, other: pa.Table, key: list[str], wanted: str) -> pa.Table:
    return one.join(other, key, join_type="left anti").select([wanted])
