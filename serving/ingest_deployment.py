"""The one writer of a served store: what arrives together is one commit, encoded for every release that is up."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from ray import serve
from ray.serve import Application

from corpus.store import Purged, Store
from corpus.store_lock import lock_store
from corpus.writing import Changes, Encode, StoreWriter
from serving.bare_errors import bare
from serving.batching import Batcher
from serving.kept_replicas import keeping_replicas
from serving.purging import drop_old_files, rewrite_store
from serving.release_deployment import describe_release
from serving.upkeep import tidy

ENCODED_TOGETHER = 256
"""Texts in one call of the encoder."""
ENCODE_S = 120.0
OUTDATED = 0
"""Instead of a version: the caller's right to the changes was checked against what no longer holds."""
TIDY_EVERY_S = 300.0
LOCK_S = 60.0
"""For a replica before this one to let go of the store."""
LONGEST_PAUSE_S = 30.0
logger = logging.getLogger("ray.serve")


class IngestSettings(BaseModel):
    """How notes that come in are written, by one replica."""

    num_cpus: float = Field(default=0.1, ge=0)
    max_group: int = Field(default=64, gt=0)
    """Requests in a group."""

    def resources(self) -> dict[str, float]:
        """What Ray reserves for it."""
        return {"CPU": self.num_cpus}


class IngestDeployment:
    """Changes in, the store version that holds them out, once they are durable."""

    def __init__(self, settings: IngestSettings) -> None:
        self._writer: StoreWriter | None = None
        self._lock: FileLock | None = None
        self._locked: Path | None = None
        self._store_id = ""
        self._writing = asyncio.Lock()
        self._write_together = Batcher(self._commit, settings.max_group)
        self._is_untidy = False
        self._tidying: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: dict[str, list[str]]) -> None:
        """Write into the store of the last of these applications, for each that is of the same store."""
        manifests = {name: await describe_release(name) for name in user_config["applications"]}
        *_, last = manifests.values()
        same = {name: each for name, each in manifests.items() if each.store_id == last.store_id}
        encoders = {each.vectors_name: _encoder_of(name) for name, each in same.items()}
        store = Store(Path(last.store))
        writer = StoreWriter(store, encoders)
        if self._locked == store.folder:
            # What a new encoder has not seen is encoded first, while writes go on.
            await asyncio.to_thread(writer.encode_missing)
        async with self._writing:
            await asyncio.to_thread(self._hold, store)
            await asyncio.to_thread(writer.mend)
            self._writer, self._store_id = writer, last.store_id
        self._tidying = self._tidying or asyncio.get_running_loop().create_task(self._tidy())

    def _hold(self, store: Store) -> None:
        if self._locked != store.folder:
            if self._lock:
                self._lock.release()
            self._lock, self._locked = lock_store(store, LOCK_S), store.folder

    @bare
    async def purge(self, store_id: str, until: Purged, readers_s: float) -> bool:
        """Take out of the store's files what was removed `until` then; False, with nothing done, for another store.

        Writes wait while the files are written anew, not for the readers of the old ones.
        """
        async with self._writing:
            if store_id != self._store_id:
                return False
            assert self._writer is not None
            assert self._locked is not None
            store = Store(self._locked)
            await asyncio.to_thread(self._writer.mend)
            begun = await asyncio.to_thread(rewrite_store, store, until)
        await asyncio.sleep(readers_s)
        async with self._writing:
            if store_id != self._store_id:  # another took over meanwhile, and this store is no longer held
                return False
            await asyncio.to_thread(drop_old_files, store, until, begun)
        return True

    @bare
    async def write(self, store_id: str, changes: Changes) -> int:
        """Commit the changes, with others that come during the commit before; the version of the chunks that has them.

        OUTDATED instead of a version where they no longer fit what is there, or were checked in another store.
        """
        return await self._write_together((store_id, changes))

    async def _commit(self, group: list[tuple[str, Changes]]) -> list[int]:
        try:
            async with self._writing:
                return await asyncio.to_thread(self._write, group)
        except Exception:
            # A removal that was broken off must not wait for the next write to come to its end.
            self._mending = asyncio.get_running_loop().create_task(self._mend())
            raise

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            if not self._is_untidy:
                continue
            try:
                async with self._writing:
                    assert self._locked is not None
                    self._is_untidy = False
                    await asyncio.to_thread(tidy, Store(self._locked))
            except Exception as error:
                self._is_untidy = True
                logger.error("the store cannot be tidied: %s", type(error).__name__)

    def _write(self, group: list[tuple[str, Changes]]) -> list[int]:
        assert self._writer is not None
        brought: set[tuple[str, str]] = set()
        fresh: list[Changes | None] = []
        for store_id, changes in group:
            # What comes before it in the group counts as if it were there.
            if store_id != self._store_id or not changes.fits(brought) or self._writer.is_outdated(changes):
                fresh.append(None)
            else:
                fresh.append(changes)
                brought |= changes.brought()
        written = [each for each in fresh if each is not None]
        self._is_untidy = True
        version = self._writer.write(Changes.together(written)) if written else OUTDATED
        return [OUTDATED if each is None else version for each in fresh]

    async def _mend(self) -> None:
        pause = 1.0
        while True:
            await asyncio.sleep(pause)
            try:
                async with self._writing:
                    assert self._writer is not None
                    await asyncio.to_thread(self._writer.mend)
                return
            except Exception as error:
                # The message could quote an id, so only the kind of error is logged.
                logger.error("the store cannot be mended yet: %s", type(error).__name__)
                pause = min(2 * pause, LONGEST_PAUSE_S)


def _encoder_of(application: str) -> Encode:
    """For threads of this replica; its calls go through the event loop that this is called on."""
    handle, loop = serve.get_deployment_handle("encoder", application), asyncio.get_running_loop()

    async def ask(texts: list[str]) -> NDArray[np.floating]:
        return cast(NDArray[np.floating], await handle.encode_passages.remote(texts))

    def encode(texts: Sequence[str]) -> NDArray[np.floating]:
        parts = (list(texts[at : at + ENCODED_TOGETHER]) for at in range(0, len(texts), ENCODED_TOGETHER))
        asked = (asyncio.run_coroutine_threadsafe(ask(part), loop) for part in parts)
        return np.concatenate([each.result(timeout=ENCODE_S) for each in asked])

    return encode


def bind_ingest(settings: IngestSettings, applications: Sequence[str]) -> Application:
    """The ingest node of the ingress application."""
    deployment = serve.deployment(
        name="ingest",
        ray_actor_options={"num_cpus": settings.num_cpus},
        num_replicas=1,
        max_ongoing_requests=4 * settings.max_group,
        user_config={"applications": list(applications)},
    )(IngestDeployment)
    return keeping_replicas(deployment, settings).bind(settings)
