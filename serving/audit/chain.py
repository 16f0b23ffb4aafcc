"""The form of an audit record, and the chain that binds each to the one before.

A record is one line of JSON with sorted keys. `seq` counts a writer's records from 0, and `mac` is
HMAC-SHA256(key, mac of the record before + the record without `mac`) (RFC 2104), with a key derived from the writer's;
before the first is the empty text.
Who does not have the key can neither change, drop nor move a record without `serving.audit.verify` seeing it.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

BEGIN, REQUEST, SEAL = "begin", "request", "seal"
"""Kinds of records: a writer's first, those of requests, and the last of each segment, which says `why` it ends."""
FULL, STOPPED, LEFT = "full", "stopped", "left"
"""Why a segment ends: the writer goes on in the next; it was stopped in order; it died, and another brought this in."""


class Link(NamedTuple):
    """What the next record is bound to."""

    seq: int
    """Of the next record."""
    mac: str


START = Link(0, "")


def bind(link: Link, record: Mapping[str, Any], key: bytes) -> tuple[str, Link]:
    """The record's line (with line break), and what the next one is bound to."""
    numbered = {**record, "seq": link.seq}
    mac = _mac(key, link.mac, numbered)
    return _canonical({**numbered, "mac": mac}) + "\n", Link(link.seq + 1, mac)


def read(line: str) -> dict[str, Any]:
    """The record of a line. Raises ValueError for what `bind` does not write."""
    record = json.loads(line)
    if not isinstance(record, dict) or not isinstance(record.get("seq"), int) or _canonical(record) != line:
        raise ValueError("no record")
    return record


def link_after(record: Mapping[str, Any]) -> Link:
    """What the record after this one is bound to."""
    return Link(record["seq"] + 1, str(record.get("mac")))


def is_bound(link: Link, record: Mapping[str, Any], key: bytes) -> bool:
    """Whether the record is the one that was written after what `link` stands for."""
    unsigned = {name: value for name, value in record.items() if name != "mac"}
    return hmac.compare_digest(_mac(key, link.mac, unsigned).encode(), _bytes(link_after(record).mac))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def keyed_hash(key: bytes, purpose: str, text: str) -> str:
    """HMAC-SHA256 with a key of its own for each purpose: the hash of a query must never be what binds a record."""
    own = hmac.new(key, purpose.encode(), hashlib.sha256).digest()
    return hmac.new(own, _bytes(text), hashlib.sha256).hexdigest()


def _mac(key: bytes, before: str, record: Mapping[str, Any]) -> str:
    return keyed_hash(key, "record", before + _canonical(record))


def _canonical(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"))
