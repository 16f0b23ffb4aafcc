"""Scopes travel to a shard's replica once: searches name theirs, and a replica that does not know one is told it.

(References into Ray's object store do not: Serve's calls over gRPC do not carry whose they are.)
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from serving.scope import Scope
from serving.shard import ShardQuery

KEPT = 256
ScopedQuery = tuple[ShardQuery, str | None]
"""A query, and the id of its scope; None for every patient."""


class KnownScopes:
    """The scopes that a replica was asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Scope] = OrderedDict()

    def resolve(self, asked: Sequence[ScopedQuery], told: Sequence[Scope]) -> list[ShardQuery] | None:
        """The queries with their scopes, of those that are told now or were before; None if one is of neither."""
        named = {each.id: each for each in told}
        needed = {scope for _, scope in asked if scope is not None}
        if not needed <= named.keys() | self._kept.keys():
            return None
        scopes = {each: named.get(each) or self._kept[each] for each in needed}
        for each, scope in scopes.items():
            self._kept[each] = scope
            self._kept.move_to_end(each)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return [replace(query, scope=None if scope is None else scopes[scope]) for query, scope in asked]
