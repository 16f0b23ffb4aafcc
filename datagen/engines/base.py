"""What every language model engine takes, gives and raises, whatever answers behind it."""

from typing import Any, Literal, NamedTuple

Reason = Literal[
    "timeout", "rate_limited", "unreachable", "server_error", "refused_request", "garbage", "content_filter"
]


class Request(NamedTuple):
    """One call: chat messages of `role` and `content`, and how to answer them."""

    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float
    schema: dict[str, Any] | None
    """JSON schema that the answer has to follow; None: free text."""


class Completion(NamedTuple):
    """The answer to one request, with the tokens that it took."""

    text: str
    is_truncated: bool
    """True where the answer reached `max_tokens` before its end."""
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int
    """Those of `prompt_tokens` that a prefix cache had; 0 where the engine does not tell."""


class CallFailed(Exception):  # noqa: N818 - a call's outcome, not the program's error
    """One call brought no answer; others may. Holds a reason code alone: what servers say may quote the prompt."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class EngineDown(Exception):  # noqa: N818
    """Nothing can be answered and the job stops: one line that says what to do, never a prompt."""
