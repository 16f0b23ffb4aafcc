"""Every error as problem+json. No answer and no log line repeats what the caller sent: it may name a patient."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.protocol import FieldProblem, Problem

MAX_BODY_BYTES = 512 * 1024
BULK_PATH, MAX_BULK_BYTES = "/v1/notes", 16 * 1024 * 1024
JSON, NDJSON = b"application/json", b"application/x-ndjson"
MOST_ERRORS = 100
BODY_S = 15.0
logger = logging.getLogger("ray.serve")


class ProblemError(Exception):
    """An error with a status and a stable code, for the caller's eyes."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        errors: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(code)
        self.errors = list(errors)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = {**headers, **({} if retry_after_s is None else {"Retry-After": str(retry_after_s)})}


def respond(error: ProblemError) -> JSONResponse:
    """The HTTP answer for `error`."""
    problem = Problem(
        type=f"urn:drehr:problem:{error.code}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=error.detail,
        errors=error.errors[:MOST_ERRORS],
    )
    return JSONResponse(
        problem.model_dump(), error.status, headers=error.headers, media_type="application/problem+json"
    )


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of a route's problems."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {
            "model": Problem,
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": schema},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Turn every error of `app` into a problem and guard it against bodies it should not read."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_middleware(Guard)


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return respond(error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return respond(ProblemError(400, "malformed_json", "the body is not JSON"))
    fields = [FieldProblem(field=".".join(map(str, each["loc"][1:])) or "body", reason=each["msg"]) for each in found]
    return respond(invalid(fields))


def invalid(fields: Sequence[FieldProblem]) -> ProblemError:
    """422 for fields that are wrong."""
    detail = "; ".join(f"{each.field}: {each.reason}" for each in fields[:10])
    return ProblemError(422, "invalid_request", detail, errors=fields)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {400: "malformed_body", 404: "unknown_path", 405: "method_not_allowed"}
    code = codes.get(error.status_code, "refused")
    response = respond(ProblemError(error.status_code, code, HTTPStatus(error.status_code).phrase))
    response.headers.update(error.headers or {})
    return response


class Guard:
    """Refuses bodies that are too large (413) or not JSON (415) unread; an unforeseen error becomes a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if scope["method"] == "POST":
                receive = await _read_body(scope, receive)
            await self.app(scope, receive, watched_send)
        except ProblemError as error:
            await respond(error)(scope, receive, send)
        except Exception as error:
            # The message or the traceback could quote the request, so only the kind of error is logged.
            logger.error("unexpected %s while answering a request", type(error).__name__)
            if not started:
                unexpected = ProblemError(500, "internal_error", "the request failed; it is safe to repeat")
                await respond(unexpected)(scope, receive, send)


async def _read_body(scope: Scope, receive: Receive) -> Receive:
    headers = dict(scope["headers"])
    is_bulk = scope["path"] == BULK_PATH
    most, types = (MAX_BULK_BYTES, (JSON, NDJSON)) if is_bulk else (MAX_BODY_BYTES, (JSON,))
    too_large = ProblemError(413, "body_too_large", f"a body may hold {most} bytes")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise too_large
    if headers.get(b"content-type", b"").split(b";")[0].strip().lower() not in types:
        raise ProblemError(415, "not_json", f"send the body as {b' or '.join(types).decode()}")
    try:
        async with asyncio.timeout(BODY_S):
            body = await _whole(receive, most, too_large)
    except TimeoutError:
        raise ProblemError(408, "slow_body", f"a body is to be sent within {BODY_S:.0f} seconds") from None
    replay = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return next(replay, None) or await receive()

    return replayed


async def _whole(receive: Receive, most: int, too_large: ProblemError) -> bytes:
    """The body. Raises ProblemError when it is too large or the caller has gone: half a body is none."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError(400, "broken_off", "the body broke off")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            raise too_large
    return bytes(body)
