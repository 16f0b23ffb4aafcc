"""API keys: `drehr_<id>_<secret>`, shown once when made and kept as a digest.

A secret is 256 random bits, so no one guesses it from its SHA-256 and no slow hash is needed.
"""

import fcntl
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from serving.access.caller import Caller, Scope, refuse
from serving.files import write_whole

KEYS = "keys.json"
PREFIX = "drehr"
KEY_PREFIX = "key:"
"""Of the name of a caller who sent a key."""


class ApiKey(BaseModel):
    """What the access folder keeps of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    sha256: str
    """Of the secret."""
    scopes: frozenset[Scope]
    policy: str
    expires: AwareDatetime
    revoked: bool = False


_FILE = TypeAdapter(list[ApiKey])


def read_keys(folder: Path) -> dict[str, ApiKey]:
    """By id; none where there is no file. Raises ValueError naming the file and what is wrong in it."""
    path = folder / KEYS
    if not path.exists():
        return {}
    try:
        return {key.id: key for key in _FILE.validate_json(path.read_bytes())}
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def create_key(folder: Path, scopes: Iterable[Scope], policy: str, expires: datetime) -> str:
    """Add a key to the folder; what its holder is to send, which is kept nowhere else."""
    secret, identity = secrets.token_urlsafe(32), secrets.token_hex(8)
    key = ApiKey(id=identity, sha256=_digest(secret), scopes=frozenset(scopes), policy=policy, expires=expires)
    with _alone(folder):
        _write(folder, [*read_keys(folder).values(), key])
    return f"{PREFIX}_{identity}_{secret}"


def revoke_key(folder: Path, identity: str) -> None:
    """From now on the key is refused. Raises ValueError when there is none with this id."""
    with _alone(folder):
        keys = read_keys(folder)
        if identity not in keys:
            raise ValueError(f"{folder / KEYS}: no key has the id {identity}")
        _write(folder, [key.model_copy(update={"revoked": key.revoked or key.id == identity}) for key in keys.values()])


def caller_of_key(keys: Mapping[str, ApiKey], sent: str, now: datetime) -> Caller:
    """Whose key was sent. Raises ProblemError (401) for a key that is unknown, revoked or expired.

    That a key was revoked or has expired is told to those alone who know its secret.
    """
    _, identity, secret = (*sent.split("_", 2), "", "")[:3]
    key = keys.get(identity)
    # An unknown id is compared too: how long a refusal takes says nothing.
    is_right = hmac.compare_digest(_digest(secret), key.sha256 if key else _digest(""))
    if not is_right:
        raise refuse("unknown_key", "no such API key")
    return caller_by_id(keys, identity, now)


def caller_by_id(keys: Mapping[str, ApiKey], identity: str, now: datetime) -> Caller:
    """What the key of this id allows now. Raises ProblemError (401) for a key that is not there, revoked or expired."""
    key = keys.get(identity)
    if key is None:
        raise refuse("unknown_key", "no such API key")
    if key.revoked:
        raise refuse("revoked_key", "this API key was revoked")
    if key.expires <= now.astimezone(UTC):
        raise refuse("expired_key", "this API key has expired")
    return Caller(f"{KEY_PREFIX}{key.id}", key.scopes, key.policy)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two changes at once would lose one of them, a revocation too."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{KEYS}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(folder: Path, keys: Sequence[ApiKey]) -> None:
    write_whole(folder / KEYS, _FILE.dump_json(list(keys), indent=1))
