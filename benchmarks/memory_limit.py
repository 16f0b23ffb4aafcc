"""A limit on this process's memory, page cache included, that the kernel enforces."""

import os
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class MemoryLimit:
    """Moves this process into a cgroup of its own. Needs root and a writable cgroup tree.

    Raises OSError where there is none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._is_v1 = V1.is_dir()
        self._folder = (V1 if self._is_v1 else V2) / f"drehr-benchmark-{os.getpid()}"
        self._folder.mkdir()
        self._write("memory.limit_in_bytes" if self._is_v1 else "memory.max", limit_bytes)
        self._write("cgroup.procs", os.getpid())

    def peak_bytes(self) -> int:
        """The most that was charged, page cache included; at most the limit."""
        return int((self._folder / ("memory.max_usage_in_bytes" if self._is_v1 else "memory.peak")).read_text())

    def _write(self, name: str, value: int) -> None:
        (self._folder / name).write_text(str(value))
