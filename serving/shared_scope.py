"""Scopes by reference: put into Ray's object store once by the ingress, read once by each replica of a shard."""

from collections import OrderedDict

import ray
from ray import ObjectRef

from serving.scope import Scope

KEPT = 256


class SharedScope:
    """The id of a scope, and where its patients are."""

    def __init__(self, scope: Scope) -> None:
        self.id = scope.id
        # In a list: a reference that is an argument itself would be resolved before every call.
        self.where: list[ObjectRef[Scope]] = [ray.put(scope)]


class ScopeSender:
    """Shares the scopes of the last searches."""

    def __init__(self) -> None:
        self._shared: OrderedDict[str, SharedScope] = OrderedDict()

    def __call__(self, scope: Scope | None) -> SharedScope | None:
        """The scope's reference; None for every patient."""
        if scope is None:
            return None
        if scope.id not in self._shared:
            self._shared[scope.id] = SharedScope(scope)
        self._shared.move_to_end(scope.id)
        if len(self._shared) > KEPT:
            self._shared.popitem(last=False)
        return self._shared[scope.id]


class ScopeReceiver:
    """Keeps the scopes it was asked for last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Scope] = OrderedDict()

    async def __call__(self, shared: SharedScope | None) -> Scope | None:
        """The scope behind the reference. Raises RayError when it is lost: then there is no answer."""
        if shared is None:
            return None
        if shared.id not in self._kept:
            self._kept[shared.id] = await shared.where[0]
        self._kept.move_to_end(shared.id)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[shared.id]
