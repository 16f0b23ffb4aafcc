"""Audit records of the requests that are answered at about the same time, committed together."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from serving.audit.chain import REQUEST, keyed_hash
from serving.audit.writer import LOOK_EVERY_S, AuditSettings, AuditWriter
from serving.batching import Batcher

LARGEST_GROUP = 256
logger = logging.getLogger("ray.serve")


def read_key(file: Path) -> bytes:
    """The key of the chain. Raises ValueError when the file is not there or holds less than 32 bytes."""
    try:
        key = file.read_bytes().strip()
    except OSError:
        raise ValueError(f"audit.key_file: {file}: cannot be read") from None
    if len(key) < 32:
        raise ValueError(f"audit.key_file: {file}: a key has at least 32 bytes")
    return key


class Recorder:
    """`await record(...)` returns once the record is on disk."""

    def __init__(self, settings: AuditSettings) -> None:
        """Raises ValueError without a key, OSError where the folders cannot be written."""
        self._settings = settings
        self._key = read_key(settings.key_file)
        self._writer = AuditWriter(settings, self._key)
        self._writing = asyncio.Lock()
        self._commit_together = Batcher(self._commit, LARGEST_GROUP)

    async def record(self, fields: dict[str, Any]) -> None:
        """Commit the record of a request. Raises OSError when the disk refuses it."""
        await self._commit_together({"kind": REQUEST, **fields})

    def asked(self, text: str) -> str:
        """What the record keeps of a query: its words, or a hash of them."""
        return keyed_hash(self._key, "query", text) if self._settings.hash_queries else text

    async def tend(self) -> None:
        """Bring sealed segments to shared storage again and again, until cancelled; then everything."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                async with self._writing:
                    try:
                        await asyncio.to_thread(self._writer.tend)
                    except Exception as error:
                        logger.error("audit segments cannot be brought to shared storage: %s", type(error).__name__)
        finally:
            self._writer.close()

    async def _commit(self, records: list[dict[str, Any]]) -> list[None]:
        async with self._writing:
            await asyncio.to_thread(self._writer.append, records)
        return [None] * len(records)
