"""What routes share: how a caller is let in, and what is said of what is not there."""

from typing import Annotated

from fastapi import Depends, Header, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from serving.access.gate import REASON_HEADER, Visit
from serving.door import Desk
from serving.problems import ProblemError

ENTERING = (400, 401, 403, 429, 503)
"""What every guarded route may answer."""
Identity = Annotated[str, Path(min_length=1, max_length=256)]
"""An id in a path; it may hold slashes."""
_Credential = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(HTTPBearer(auto_error=False, description="An API key, or a token of the identity provider.")),
]
_Reason = Annotated[str | None, Header(alias=REASON_HEADER, description="For the audit log.")]


# Credential and reason are parameters for the documentation: the door and the gate read the headers themselves.
def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _reading(request: Request, credential: _Credential, reason: _Reason = None) -> Visit:
    return _desk(request).admit(request, "read")


async def _writing(request: Request, credential: _Credential, reason: _Reason = None) -> Visit:
    return _desk(request).admit(request, "write")


async def _administering(request: Request, credential: _Credential, reason: _Reason = None) -> Visit:
    return _desk(request).admit(request, "admin")


Reader = Annotated[Visit, Depends(_reading)]
"""A parameter of a route: its caller is let in to read."""
Writer = Annotated[Visit, Depends(_writing)]
Admin = Annotated[Visit, Depends(_administering)]


def unknown_patient() -> ProblemError:
    """The answer for a patient who is not there, or whom the caller may not see."""
    return ProblemError(404, "unknown_patient", "no searchable note of this patient")


def unknown_note() -> ProblemError:
    """The answer for a note that is not there, or is of a patient whom the caller may not see."""
    return ProblemError(404, "unknown_note", "no note has this id")
