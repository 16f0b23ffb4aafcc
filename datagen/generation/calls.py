"""Calls: one row for each time a model is asked. An answer belongs to its call by the call's id."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from datagen.tasks.base import Task

CALL_SCHEMA = pa.schema(
    [
        pa.field("call_id", pa.string(), nullable=False),
        pa.field("chunk_id", pa.string(), nullable=False),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("query", pa.string(), nullable=False),
    ]
)
"""`query_id` and `query` are empty where the task reads a chunk alone, `variant` where it has none."""


def chunk_calls(task: Task, chunks: Iterable[tuple[str, str]], votes: int = 1) -> Iterator[dict[str, str]]:
    """The calls that ask about each (chunk_id, text), `votes` times each: `<chunk_id>:<task>[:<variant>][:<vote>]`."""
    for chunk_id, text in chunks:
        for variant in task.variants:
            for vote in range(1, votes + 1):
                parts = (chunk_id, task.name, variant, str(vote) if votes > 1 else "")
                call_id = ":".join(filter(None, parts))
                yield _row(call_id, chunk_id, text, variant=variant)


def pair_calls(task: Task, pairs: Iterable[tuple[str, str, str, str]]) -> Iterator[dict[str, str]]:
    """The calls that ask about each (query_id, query, chunk_id, text): `<chunk_id>:<task>:<query_id>`."""
    for query_id, query, chunk_id, text in pairs:
        yield _row(f"{chunk_id}:{task.name}:{query_id}", chunk_id, text, query_id=query_id, query=query)


def _row(call_id: str, chunk_id: str, text: str, **given: str) -> dict[str, str]:
    return {"call_id": call_id, "chunk_id": chunk_id, "query_id": "", "variant": "", "query": "", "text": text, **given}
