"""Where a request comes in: who makes it, for which reason, and which patients it may reach."""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from serving.access.caller import Caller, Scope, refuse
from serving.access.folder import AccessFolder
from serving.access.keys import KEY_PREFIX, PREFIX, caller_by_id, caller_of_key
from serving.access.policies import Allowed
from serving.access.tokens import OidcSettings, TokenChecker
from serving.problems import ProblemError

REASON_HEADER = "x-reason-for-use"
LONGEST_REASON = 500
LONGEST_CREDENTIAL = 8192


class AccessSettings(BaseModel):
    """Who is let in."""

    path: Path
    """The access folder: keys.json, policies.yaml, cohorts/, patients.parquet; the same for every node."""
    oidc: OidcSettings | None = None
    """Takes tokens of an identity provider beside API keys."""
    reason_required: bool = False
    """Every request for patients' data says what it is for, in the header X-Reason-For-Use; the audit log keeps it."""


@dataclass(frozen=True)
class Visit:
    """A request that was let in."""

    caller: Caller
    allowed: Allowed
    """The patients that the caller's policy lets it see."""
    cohorts: Mapping[str, frozenset[str]]
    rules_id: str = ""
    """Names the state of the access folder that says so."""

    def may_see(self, patient: str) -> bool:
        """Whether the policy allows this patient."""
        return self.allowed is None or patient in self.allowed


class Gate:
    """Lets requests in by their headers."""

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self.folder = AccessFolder(settings.path)
        self._tokens = TokenChecker(settings.oidc) if settings.oidc else None

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on beside the requests, until cancelled."""
        return [self.folder.watch(), *([self._tokens.refresh()] if self._tokens else [])]

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        """Who makes the request, by `Authorization: Bearer <API key or token>`.

        Raises ProblemError: 401 for whom nobody knows, 503 while that cannot be found out.
        """
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise refuse("no_credentials", "send an API key or a token: Authorization: Bearer ...")
        if len(credential) > LONGEST_CREDENTIAL:
            raise refuse("malformed_token", f"a credential has at most {LONGEST_CREDENTIAL} characters")
        if credential.startswith(f"{PREFIX}_") or self._tokens is None:
            return caller_of_key(self.folder.rules().keys, credential, datetime.now(UTC))
        return await self._tokens.caller(credential)

    def admit(self, caller: Caller, scope: Scope, headers: Mapping[str, str]) -> Visit:
        """Let the caller in. Raises ProblemError: 401 for a key that holds no longer, 403 without scope or
        policy, 400 without the reason that is asked for.
        """
        rules = self.folder.rules()
        if caller.name.startswith(KEY_PREFIX):
            # A body can take its time: the key may have been changed or revoked since it was looked at.
            caller = caller_by_id(rules.keys, caller.name.removeprefix(KEY_PREFIX), datetime.now(UTC))
        caller.require(scope)
        if caller.policy not in rules.policies:
            raise ProblemError(403, "no_policy", "the policy of this key or token is not among the service's")
        reason = headers.get(REASON_HEADER, "").strip()
        if self._settings.reason_required and not reason:
            raise ProblemError(400, "no_reason", "say what this is for in the header X-Reason-For-Use")
        if len(reason) > LONGEST_REASON:
            raise ProblemError(400, "long_reason", f"a reason has at most {LONGEST_REASON} characters")
        return Visit(caller, rules.policies[caller.policy], rules.cohorts, rules.id)
