"""What every request for patients' data passes: who makes it, whether there is room, and its audit record.

An answer is held back until its record is on disk. What has no record does not leave. A request that changes something
has a record before as well.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from serving.access.caller import Caller, Scope
from serving.access.gate import LONGEST_REASON, REASON_HEADER, Gate, Visit
from serving.audit.recorder import Recorder
from serving.limits import Limits
from serving.metrics import RequestMetrics
from serving.problems import ProblemError, respond

GUARDED = "/v1/"
GONE = 499
"""The status of a request whose caller did not wait for the answer."""
ANYONE = Caller("anyone", frozenset({"admin"}), "all")
logger = logging.getLogger("ray.serve")


@dataclass
class Record:
    """What the audit log will have of a request, filled in as it becomes known."""

    caller: str | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    patients: set[str] = field(default_factory=set)


class Desk:
    """Gate, limits and recorder of an ingress replica. Without a gate everybody may do everything."""

    def __init__(self, gate: Gate | None, limits: Limits, recorder: Recorder | None) -> None:
        self.gate = gate
        self.limits = limits
        self.recorder = recorder

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on beside the requests, until cancelled."""
        return [*(self.gate.jobs() if self.gate else []), *([self.recorder.tend()] if self.recorder else [])]

    async def identify(self, headers: Headers) -> Caller:
        """Who makes the request. Raises ProblemError as `Gate.identify` does."""
        return ANYONE if self.gate is None else await self.gate.identify(headers)

    def admit(self, request: Request, scope: Scope) -> Visit:
        """Let the request in that came through the door. Raises ProblemError as `Gate.admit` does."""
        caller: Caller = request.state.caller
        if self.gate is None:
            return Visit(caller, None, {})
        return self.gate.admit(caller, scope, request.headers)

    async def begin(self, request: Request) -> None:
        """Record that a request is about to change something. Raises ProblemError (503) where that cannot be."""
        if not await self.is_recorded(request.scope, record_of(request), None):
            raise unrecorded()

    async def is_recorded(self, connection: Connection, record: Record, status: int | None) -> bool:
        """Write the record of a request, without a status before it is answered; whether that worked."""
        if self.recorder is None:
            return True
        named = {"method": connection["method"], "route": _route(connection)}
        fields = {
            "who": record.caller,
            "why": Headers(scope=connection).get(REASON_HEADER, "")[:LONGEST_REASON],
            "what": {**named, **connection.get("path_params", {}), **record.asked},
            "status": status,
            "patients": sorted(record.patients),
        }
        try:
            await self.recorder.record(fields)
        except Exception as error:
            logger.error("an audit record cannot be written: %s", type(error).__name__)
            return False
        return True

    def note(self, request: Request, queries: Iterable[str] = (), **asked: Any) -> None:
        """Say in the record what the request asks for."""
        record = record_of(request)
        record.asked |= {name: value for name, value in asked.items() if value is not None}
        if self.recorder and (texts := [self.recorder.asked(query) for query in queries]):
            record.asked["queries"] = texts


def record_of(request: Request) -> Record:
    """The record of a request, to be filled in."""
    record: Record = request.state.record
    return record


def _route(connection: Connection) -> str | None:
    """The path as the documentation has it, with names for ids; None before a route is found."""
    return getattr(connection.get("route"), "path_format", None)


def unrecorded() -> ProblemError:
    """The answer where the audit log does not take a record."""
    return ProblemError(503, "audit_unavailable", "the audit log cannot be written", retry_after_s=5)


class Door:
    """ASGI middleware around everything under GUARDED."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self.app = app
        self._desk = desk
        self._metrics = RequestMetrics()
        self._recording: set[asyncio.Task[bool]] = set()

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] != "http" or not connection["path"].startswith(GUARDED):
            return await self.app(connection, receive, send)
        answer, record, begun = Held(), Record(), monotonic()
        try:
            self._desk.limits.enter()
            try:
                caller = await self._desk.identify(Headers(scope=connection))
                record.caller = caller.name
                self._desk.limits.admit(caller.name)
                connection.setdefault("state", {}).update(caller=caller, record=record)
                await self.app(connection, receive, answer.hold)
            finally:
                self._desk.limits.leave(record.caller)
        except asyncio.CancelledError:
            # The caller is gone; what was done for it is recorded all the same.
            self._record(connection, record, GONE)
            raise
        except ProblemError as error:
            await respond(error)(connection, receive, answer.hold)
        except Exception as error:
            logger.error("unexpected %s at the door", type(error).__name__)
            answer = Held()
            unexpected = ProblemError(500, "internal_error", "the request failed; it is safe to repeat")
            await respond(unexpected)(connection, receive, answer.hold)
        # Shielded: a caller who leaves now has been answered as far as the log is concerned.
        if not await asyncio.shield(self._record(connection, record, answer.status)):
            answer = Held()
            await respond(unrecorded())(connection, receive, answer.hold)
        self._metrics.answered(_route(connection), answer.status, monotonic() - begun)
        for message in answer.messages:
            await send(message)

    def _record(self, connection: Connection, record: Record, status: int) -> asyncio.Task[bool]:
        """Begin to record the request; whether that worked."""
        task = asyncio.create_task(self._desk.is_recorded(connection, record, status))
        self._recording.add(task)  # The loop itself keeps only a weak reference to a task.
        task.add_done_callback(self._recording.discard)
        return task


class Held:
    """The messages of an answer that has not left yet."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def hold(self, message: Message) -> None:
        """Keep a message."""
        self.messages.append(message)

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.messages[0]["status"])
