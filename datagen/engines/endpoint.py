"""Any endpoint that speaks OpenAI's chat completions: vLLM's server, Ray Serve LLM, vendors."""

import asyncio
import logging
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import inf
from time import monotonic, time
from typing import Any, Literal

from openai import APIError, APIStatusError, APITimeoutError, AsyncOpenAI, DefaultAsyncHttpxClient, omit
from openai.types.shared_params import ResponseFormatJSONSchema
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from datagen.engines.base import CallFailed, Completion, EngineDown, Reason, Request

LONGEST_WAIT_S = 120
"""As long as this openai waits where a server's Retry-After asks for it; asked for more, it does not try again."""
FEWEST_LOST = 20
PATIENCE_S = 900
"""An endpoint that has answered before may be away for as long: a server starts again, a rate limit passes."""
PAUSE_S = 10
"""Between calls to one that is away, so that it does not cost every call its tries."""
NO_ANSWER: tuple[Reason, ...] = ("timeout", "rate_limited", "unreachable", "server_error")
"""Failures that tell of the endpoint rather than of the request."""
MISCONFIGURED = {
    401: "the key was refused; check what `api_key_env` names",
    402: "payment is due; check the account",
    403: "the key may not do this; check what `api_key_env` names",
    404: "no such path or model; check `url`, which mostly ends in /v1, and `model`",
    405: "no chat completions there; check `url`, which mostly ends in /v1",
}


class EndpointSettings(BaseModel):
    """Where the model answers, and how hard to ask it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    kind: Literal["endpoint"] = "endpoint"
    url: str
    """Up to and with /v1."""
    model: str
    api_key_env: str | None = None
    """Environment variable that holds the key, wherever the job runs; None: the endpoint asks for none."""
    concurrency: int = Field(default=64, ge=1, le=1000)
    """Calls under way at once."""
    timeout_s: float = Field(default=120, gt=0)
    """How long the server may be silent in one try."""
    tries: int = Field(default=5, ge=1)
    input_price: float | None = Field(default=None, ge=0)
    """Of a million prompt tokens, for the cost report."""
    output_price: float | None = Field(default=None, ge=0)
    """Of a million answer tokens."""

    @field_validator("url")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")) or any(mark in url for mark in "@?# "):
            raise ValueError("give http(s)://host/v1, without user, password or query (a key goes into `api_key_env`)")
        return url

    @field_validator("api_key_env")
    @classmethod
    def _a_name(cls, name: str | None) -> str | None:
        if name is not None and not name.isidentifier():
            raise ValueError("give the name of the environment variable that holds the key, not the key")
        return name


class Endpoint:
    """A client with bounded concurrency, for one event loop. Note text reaches the endpoint and nothing else."""

    def __init__(self, settings: EndpointSettings) -> None:
        """Raises EngineDown where the variable that should hold the key is not set."""
        self._settings = settings
        key = "none"  # Left out, openai would send OPENAI_API_KEY to whatever server this is.
        if settings.api_key_env and not (key := os.environ.get(settings.api_key_env, "").strip()):
            raise EngineDown(
                f"{settings.url}: the environment variable {settings.api_key_env} (`api_key_env`) is not set"
            )
        self._client = AsyncOpenAI(
            base_url=settings.url,
            api_key=key,
            timeout=settings.timeout_s,
            max_retries=settings.tries - 1,
            # A redirect would send notes to an address that nobody configured.
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),
        )
        # At DEBUG these repeat what servers send, and servers repeat prompts.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # The client's own timeout starts anew with every byte: a server that drips would hold a call for ever.
        self._deadline_s = settings.tries * (settings.timeout_s + LONGEST_WAIT_S)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._lost, self._answered_at = 0, -inf

    async def complete(self, request: Request) -> Completion:
        """The model's answer.

        Raises CallFailed where this request got none, after `tries`; EngineDown where none will: a wrong key, path or
        model, a Retry-After beyond LONGEST_WAIT_S, or no answer in the last 2 x `concurrency` (at least 20) calls, nor
        for PATIENCE_S where there was one before.
        """
        async with self._slots:
            try:
                async with asyncio.timeout(self._deadline_s):
                    response = await self._client.chat.completions.with_raw_response.create(
                        model=self._settings.model,
                        messages=request.messages,  # type: ignore[arg-type]
                        max_tokens=request.max_tokens,
                        temperature=request.temperature,
                        response_format=omit if request.schema is None else _follow(request.schema),
                    )
            except (APIError, TimeoutError) as error:
                failure = self._failure(error)
                if isinstance(failure, CallFailed) and self._seems_away():
                    await asyncio.sleep(PAUSE_S)
                raise failure from None
            completion = _read(response.http_response.content)
            self._lost, self._answered_at = 0, monotonic()
            return completion

    async def close(self) -> None:
        """End the connections."""
        await self._client.close()

    def _failure(self, error: APIError | TimeoutError) -> CallFailed | EngineDown:
        url = self._settings.url
        reason: Reason
        if isinstance(error, APIStatusError):
            if why := MISCONFIGURED.get(error.status_code):
                return EngineDown(f"{url} (model {self._settings.model}): {error.status_code}, {why}")
            if error.status_code < 400:
                return EngineDown(f"{url}: it redirects; set `url` to where it leads")
            if (wait_s := _retry_after_s(error.response.headers)) > LONGEST_WAIT_S:
                return EngineDown(f"{url}: it asks to wait {wait_s:.0f} s; run the same command again after that")
            reason = _reason(error)
        else:
            reason = "timeout" if isinstance(error, TimeoutError | APITimeoutError) else "unreachable"
        if reason in NO_ANSWER:
            self._lost += 1
            if self._seems_away() and monotonic() - self._answered_at > PATIENCE_S:
                return EngineDown(
                    f"{url}: {self._lost} calls lost since its last answer, the latest {reason}; check that it runs "
                    "or lower `concurrency`, then run the same command again"
                )
        return CallFailed(reason)

    def _seems_away(self) -> bool:
        return self._lost >= max(FEWEST_LOST, 2 * self._settings.concurrency)


def _reason(error: APIStatusError) -> Reason:
    status = error.status_code
    if status >= 500 or status == 409:  # a lock that timed out, as openai reads it
        return "server_error"
    if status == 408:
        return "timeout"
    if status == 429:
        return "rate_limited"
    # Azure refuses a prompt with 400 and this code.
    return "content_filter" if error.code == "content_filter" else "refused_request"


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0 where there is none."""
    value = headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - time()
    except ValueError:
        return 0.0


def _follow(schema: dict[str, Any]) -> ResponseFormatJSONSchema:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str


class _PromptDetails(BaseModel):
    cached_tokens: int | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None


class _Answer(BaseModel):
    """What this client reads of a chat completion object; openai's own model is not checked against what came."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def _read(body: bytes) -> Completion:
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError:
        raise CallFailed("garbage") from None
    choice, usage = answer.choices[0], answer.usage or _Usage()
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        raise CallFailed("content_filter")
    text = choice.message.content or ""
    # Any other reason to finish (vLLM's "abort") leaves an answer that only looks whole.
    if choice.finish_reason not in ("stop", "length") or not text.strip():
        raise CallFailed("garbage")
    details = usage.prompt_tokens_details or _PromptDetails()
    return Completion(
        text=text,
        is_truncated=choice.finish_reason == "length",
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_tokens=details.cached_tokens or 0,
    )
