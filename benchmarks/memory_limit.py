"""A limit on this process's memory, page cache included, that the kernel enforces."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[Callable[[], int]]:
    """This process in a cgroup of its own; yields what tells the most bytes that were charged, which end at the limit.

    Needs root and a writable tree of cgroups. Raises OSError where there is none.
    """
    is_v1 = V1.is_dir()
    root = V1 if is_v1 else V2
    folder = root / f"drehr-benchmark-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if is_v1 else "memory.max")).write_text(str(limit_bytes))
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        peak = folder / ("memory.max_usage_in_bytes" if is_v1 else "memory.peak")
        yield lambda: int(peak.read_text())
    finally:
        (root / "cgroup.procs").write_text(str(os.getpid()))
        folder.rmdir()
