"""One process at a time writes a store's notes."""

from filelock import FileLock, Timeout

from corpus.store import Store

LOCK = "writer.lock"


def lock_store(store: Store, wait_s: float) -> FileLock:
    """Hold the store until `release()` or the end of this process, wherever its folder is mounted.

    Raises ValueError when another process still holds it after `wait_s` seconds.
    """
    # Not of a thread: whoever takes it in one that ends still holds it.
    lock = FileLock(store.folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise ValueError(f"{store.folder}: another process writes into this store") from None
    return lock
