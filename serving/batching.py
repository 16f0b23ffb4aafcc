"""Calls that are made while another is on its way become one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Awaiting `batcher(item)` gives this item's result of `call(items)`, which returns one result per item.

    Items that come while a call is running wait for its end and are the next one, together: alone an item waits for
    nothing, and the more there are, the larger the batches. Where `wait_s` is given none waits longer, and none ever
    longer than until `max_size` are there; calls overlap then. An error of `call` is raised for each of its items.
    (`serve.batch` does this inside Serve replicas alone, and shares one queue among all instances of a class.)
    """

    def __init__(
        self, call: Callable[[list[Item]], Awaitable[list[Result]]], max_size: int, wait_s: float | None = None
    ) -> None:
        self._call = call
        self._max_size = max_size
        self._wait_s = wait_s
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None

    async def __call__(self, item: Item) -> Result:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._running:
            # What comes in the same turn of the loop goes along.
            self._timer = self._timer or loop.call_soon(self._send)
        elif self._wait_s is not None:
            if len(self._waiting) >= self._max_size:
                self._send()
            else:
                self._timer = self._timer or loop.call_later(self._wait_s, self._send)
        return await future

    def _send(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        # Nobody waits for what was given up.
        waiting = [each for each in self._waiting if not each[1].done()]
        batch, self._waiting = waiting[: self._max_size], waiting[self._max_size :]
        if batch:
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._send()

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
