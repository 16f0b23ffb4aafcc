"""Answers: one row for each call, with what its answer says or why there is none."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from datagen.engines.base import Completion
from datagen.generation.calls import CALL_SCHEMA
from datagen.tasks.base import Task, UnusableAnswer

_OF_ITS_CALL = ("call_id", "chunk_id", "query_id", "variant")
ANSWER_SCHEMA = pa.schema(
    [
        *(CALL_SCHEMA.field(name) for name in _OF_ITS_CALL),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("items", pa.string(), nullable=False),
        pa.field("is_truncated", pa.bool_(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("cached_tokens", pa.int64(), nullable=False),
        pa.field("output_tokens", pa.int64(), nullable=False),
    ]
)
"""`status` is ok or error, `reason` the code of an error, `items` a JSON list. An error row holds nothing of a text."""

FINAL_REASONS = frozenset({"refused_request", "content_filter"})
"""Asking again would end the same way."""


def answer_row(task: Task, call: Mapping[str, Any], outcome: Completion | str) -> dict[str, Any]:
    """The answer to a call, from what the engine completed or the reason code why it did not."""
    row = {name: call[name] for name in _OF_ITS_CALL}
    if isinstance(outcome, str):
        return row | _said("error", outcome)
    tokens = {name: getattr(outcome, name) for name in ("prompt_tokens", "cached_tokens", "output_tokens")}
    try:
        parsed = task.parse(outcome.text, outcome.is_truncated)
    except UnusableAnswer as unusable:
        return row | _said("error", unusable.reason) | tokens
    items = json.dumps(parsed.items, ensure_ascii=False)
    return row | _said("ok", "", items, parsed.is_truncated) | tokens


def _said(status: str, reason: str, items: str = "[]", is_truncated: bool = False) -> dict[str, Any]:
    tokens = {"prompt_tokens": 0, "cached_tokens": 0, "output_tokens": 0}
    return {"status": status, "reason": reason, "items": items, "is_truncated": is_truncated, **tokens}


def to_table(rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> pa.Table:
    """Answer rows as a table of `ANSWER_SCHEMA`."""
    return pa.Table.from_pylist(list(rows), schema=ANSWER_SCHEMA)
