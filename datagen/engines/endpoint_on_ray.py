"""An endpoint asked from inside Ray Data: one actor holds the client, so its bound on calls is the job's."""

import asyncio
from collections.abc import AsyncIterator

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from datagen.engines.base import CallFailed, Completion, Request
from datagen.engines.endpoint import Endpoint, EndpointSettings
from datagen.generation.answers import answer_row, to_table
from datagen.tasks.base import Task

CALLS_AT_ONCE = 32
"""Written together: the slowest holds back the others."""


def ask_endpoint(calls: Dataset, task: Task, settings: EndpointSettings, temperature: float) -> Dataset:
    """The answers (`ANSWER_SCHEMA`) to the calls (`CALL_SCHEMA`), one row each; EngineDown ends the job."""
    return calls.map_batches(
        _EndpointCalls,
        fn_constructor_kwargs={"task": task, "settings": settings, "temperature": temperature},
        compute=ActorPoolStrategy(size=1, max_concurrent_calls_per_actor=2 + settings.concurrency // CALLS_AT_ONCE),
        batch_format="pyarrow",
        batch_size=None,
        num_cpus=0.5,
    )


class _EndpointCalls:
    def __init__(self, task: Task, settings: EndpointSettings, temperature: float) -> None:
        self._task, self._temperature = task, temperature
        self._endpoint = Endpoint(settings)

    async def __call__(self, calls: pa.Table) -> AsyncIterator[pa.Table]:
        rows = calls.to_pylist()
        outcomes = await asyncio.gather(*map(self._outcome, rows))
        yield to_table([answer_row(self._task, *row) for row in zip(rows, outcomes, strict=True)])

    async def _outcome(self, call: dict[str, str]) -> Completion | str:
        messages = self._task.messages(call["text"], call["variant"], call["query"])
        try:
            request = Request(messages, self._task.max_tokens, self._temperature, self._task.schema)
            return await self._endpoint.complete(request)
        except CallFailed as failed:
            return failed.reason
