"""Calls that are made at about the same time become one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Awaiting `batcher(item)` gives this item's result of `call(items)`, which returns one result per item.

    The first item of a batch waits `wait_s` seconds for others, and no longer than until `max_size` are there. Batches
    overlap. An error of `call` is raised for each of its items. (`serve.batch` does this inside Serve replicas alone,
    and shares one queue among all instances of a class.)
    """

    def __init__(
        self, call: Callable[[list[Item]], Awaitable[list[Result]]], max_size: int, wait_s: float = 0.0
    ) -> None:
        self._call = call
        self._max_size = max_size
        self._wait_s = wait_s
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, item: Item) -> Result:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._timer = loop.call_later(self._wait_s, self._flush)
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) == self._max_size:
            self._timer.cancel()
            self._flush()
        return await future

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._running.add(task)  # The loop itself keeps only a weak reference to a task.
        task.add_done_callback(self._running.discard)

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._call([item for item, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
