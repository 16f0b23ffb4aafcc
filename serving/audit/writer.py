"""One writer of audit records: appends to a segment on its node's disk, seals segments into shared storage.

A record counts once it is on disk, and no answer leaves before. A node that dies takes with it what was not sealed,
the records of about `segment_s` seconds. Where the local folder outlives the process, the next writer there brings in
what was left.
"""

import errno
import fcntl
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import IO, Any

from pydantic import BaseModel, Field

from serving.audit.chain import BEGIN, FULL, LEFT, SEAL, START, STOPPED, bind, link_after

LOCK = "lock"
LOOK_EVERY_S = 1.0


class AuditSettings(BaseModel):
    """Where audit records go."""

    path: Path
    """Shared storage: sealed segments, a folder a writer."""
    local: Path
    """A folder on the node's own disk, for segments that are not yet sealed."""
    key_file: Path
    """Holds the secret that binds the records to each other, at least 32 bytes; the same on every node."""
    hash_queries: bool = False
    """Keeps a keyed hash of what was asked instead of the words."""
    segment_records: int = Field(default=10_000, gt=0)
    segment_s: float = Field(default=10.0, gt=0)


class AuditWriter:
    """Not for two threads at once."""

    def __init__(self, settings: AuditSettings, key: bytes) -> None:
        """Raises OSError where a folder cannot be written."""
        self._settings = settings
        self._key = key
        self._link = START
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folder = settings.local / self.id
        self._folder.mkdir(parents=True)
        self._lock = (self._folder / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # Says that this writer lives.
        self._bring_in_what_was_left()
        self._open()
        self.append([{"kind": BEGIN, "writer": self.id}])

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Returns once the records are on disk. Raises OSError when the disk refuses them: then none of them counts."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        link, lines = self._link, []
        for record in records:
            line, link = bind(link, {"time": time, **record}, self._key)
            lines.append(line)
        end, data = self._stream.tell(), "".join(lines).encode()
        try:
            if self._stream.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._stream.fileno())
        except OSError:
            os.ftruncate(self._stream.fileno(), end)
            self._stream.seek(end)
            raise
        self._link = link

    def tend(self) -> None:
        """Seal the segment if it is large or old enough, and bring what is sealed to shared storage.

        Raises OSError when that cannot be written; what is sealed stays on this node, and the next call tries again.
        """
        age, records = monotonic() - self._opened, self._link.seq - self._first
        if records and (age >= self._settings.segment_s or records >= self._settings.segment_records):
            self.append([{"kind": SEAL, "why": FULL}])
            full = self._stream
            self._open()
            full.close()
        for path in sorted(self._folder.glob("*.jsonl")):
            if path != self._path:
                _bring(path, self._settings.path / self.id)

    def close(self) -> None:
        """Write the last record and bring everything to shared storage. Raises OSError as `tend` does."""
        self.append([{"kind": SEAL, "why": STOPPED}])
        self._stream.close()
        _bring_all(self._folder, self._settings.path)
        self._lock.close()

    def _open(self) -> None:
        path = self._folder / f"{self._link.seq:012}.jsonl"
        self._stream: IO[bytes] = path.open("xb", buffering=0)
        self._path, self._first, self._opened = path, self._link.seq, monotonic()

    def _bring_in_what_was_left(self) -> None:
        for lock in sorted(self._settings.local.glob(f"*/{LOCK}")):
            with lock.open("rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                segments = sorted(lock.parent.glob("*.jsonl"))
                if segments:
                    _seal_for_the_dead(segments[-1], self._key)
                _bring_all(lock.parent, self._settings.path)


def _seal_for_the_dead(segment: Path, key: bytes) -> None:
    """End the last segment of a writer that died; of a record it was writing then there is no line break."""
    with segment.open("rb+") as stream:
        *lines, _ = stream.read().split(b"\n")
        last = json.loads(lines[-1]) if lines else {}
        stream.truncate(sum(len(line) + 1 for line in lines))
        if lines and last.get("kind") != SEAL:
            time = datetime.now(UTC).isoformat(timespec="milliseconds")
            stream.seek(0, os.SEEK_END)
            stream.write(bind(link_after(last), {"time": time, "kind": SEAL, "why": LEFT}, key)[0].encode())
            os.fsync(stream.fileno())


def _bring_all(folder: Path, shared: Path) -> None:
    for segment in sorted(folder.glob("*.jsonl")):
        _bring(segment, shared / folder.name)
    shutil.rmtree(folder)


def _bring(segment: Path, to: Path) -> None:
    """Move a segment to shared storage; there it is whole or not at all. What is there already stays as it is."""
    if not segment.stat().st_size or (to / segment.name).exists():
        segment.unlink()
        return
    to.mkdir(parents=True, exist_ok=True)
    aside = to / f".{segment.name}.unfinished"
    shutil.copyfile(segment, aside)
    with aside.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(aside, to / segment.name)
    segment.unlink()
