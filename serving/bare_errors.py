"""Errors that leave a replica without their message: Serve logs them, and a message can quote a query or an id."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class ReplicaError(Exception):
    """Something went wrong in a replica; the message is the kind of error alone."""


def bare(method: Callable[Parameters, Awaitable[Result]]) -> Callable[Parameters, Awaitable[Result]]:
    """The method of a deployment, whose errors become ReplicaError."""

    @wraps(method)
    async def called(*args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        try:
            return await method(*args, **keywords)
        except Exception as error:
            kind = type(error).__name__
        # Out of the except block: the error is not even its context.
        raise ReplicaError(kind)

    return called
