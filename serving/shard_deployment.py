"""One shard as a Serve deployment of its own; its replicas are identical."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from ray import serve
from ray.serve import Application
from threadpoolctl import threadpool_limits

from serving.bare_errors import bare
from serving.known_scopes import KnownScopes, ScopedQuery
from serving.manifest import read_manifest
from serving.metrics import ShardMetrics
from serving.replicas import ReplicaSettings
from serving.scope import Scope
from serving.shard import Candidates, Shard

FOLLOW_EVERY_S = 0.5
logger = logging.getLogger("ray.serve")


class ShardSettings(ReplicaSettings):
    """Resources of each shard's replicas."""

    threads: int = Field(default=1, gt=0)
    """Threads of a replica that score vectors."""
    max_ongoing_requests: int = Field(default=64, gt=0)
    """Batches of queries a replica takes at once."""


class ShardDeployment:
    """Queries in, candidates out; rows in, contents out; both in batches. Loading checks the files."""

    def __init__(self, release: str, number: int, settings: ShardSettings) -> None:
        # Of FAISS's own, and of the linear algebra under FAISS and NumPy.
        threadpool_limits(settings.threads)
        self._shard = Shard.load(Path(release), number)
        self._metrics = ShardMetrics(read_manifest(Path(release)).id, number)
        self._scopes = KnownScopes()
        self._following = asyncio.get_running_loop().create_task(self._follow())

    @bare
    async def search(self, asked: Sequence[ScopedQuery], scopes: Sequence[Scope] = ()) -> list[Candidates]:
        """Candidates of each query, among the patients of its scope; of none where a scope is not known."""
        queries = self._scopes.resolve(asked, scopes)
        return [] if queries is None else await asyncio.to_thread(self._shard.search, queries)

    @bare
    async def fetch(self, batch: Sequence[Sequence[tuple[int, int]]]) -> list[list[dict[str, Any] | None]]:
        """Contents of each list of (row id, version); None for what is not here any longer."""
        return await asyncio.to_thread(self._shard.fetch, batch)

    async def _follow(self) -> None:
        """Every write is searchable soon, whether a search names its version or not."""
        trouble = None
        while True:
            before = trouble
            try:
                await asyncio.to_thread(self._shard.follow)
                trouble = None
                self._metrics.at(self._shard.version)
            except Exception as error:
                # The message could quote an id, so only the kind of error is logged.
                trouble = type(error).__name__
            if trouble and trouble != before:
                logger.error("shard cannot follow the store: %s", trouble)
            await asyncio.sleep(FOLLOW_EVERY_S)

    @bare
    async def ready(self) -> bool:
        """True once the files are checked and loaded, and all that was written since is there."""
        await asyncio.to_thread(self._shard.follow)
        return True


def shard_name(number: int) -> str:
    """Name of the shard's deployment in its release's application."""
    return f"shard-{number}"


def bind_shard(release: Path, number: int, settings: ShardSettings) -> Application:
    """A shard node of a release's application."""
    deployment = serve.deployment(
        name=shard_name(number),
        **settings.deployment_options(),
        max_ongoing_requests=settings.max_ongoing_requests,
        max_constructor_retry_count=2,
    )(ShardDeployment)
    return deployment.bind(str(release), number, settings)
