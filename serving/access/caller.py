"""Whoever a request is made for, and why one is refused."""

from dataclasses import dataclass
from typing import Literal

from serving.problems import ProblemError

Scope = Literal["read", "write", "admin"]


@dataclass(frozen=True)
class Caller:
    """`name` is what the audit log has: the id of a key, or subject and issuer of a token."""

    name: str
    scopes: frozenset[Scope]
    """`admin` holds the others."""
    policy: str
    """Which patients: a name in the access folder's policies."""

    def require(self, scope: Scope) -> None:
        """Raises ProblemError (403) without the scope."""
        if not {scope, "admin"} & self.scopes:
            raise ProblemError(403, "missing_scope", f"this needs the scope {scope}")


def refuse(code: str, detail: str) -> ProblemError:
    """401, with the challenge that RFC 9110 wants beside it."""
    return ProblemError(401, code, detail, headers={"WWW-Authenticate": "Bearer"})
