"""Take what was removed from a served store out of its files for good: versions, indexes and releases."""

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, Field
from ray import serve

from corpus.store import Purged, Store
from corpus.store_lock import lock_store
from ray_jobs.job import Folder, main, require
from serving.application import INGRESS, is_running
from serving.purging import first_due, mend_release, purge_release, purge_store

READERS_S = 30.0
"""Shards go to the head of the store within this time; the versions before it are then in nobody's use."""


class PurgeSettings(BaseModel):
    store: Folder
    releases: list[Folder] = []
    """All that were built from the store and may be served again; those that are left out are refused from then on."""
    days: float = Field(default=7, ge=0)
    """Nothing happens before the oldest removal is so old: run daily, what is removed is gone a day later at most."""


def run(settings: PurgeSettings) -> None:
    folder = settings.store.path
    require(store__path=folder)
    for release in settings.releases:
        mend_release(release.path)
    require(**{f"releases__{number}": release.path for number, release in enumerate(settings.releases)})
    store = Store(folder)
    first = first_due(store)
    due = first + timedelta(days=settings.days) if first else None
    if due is None or due > datetime.now(UTC):
        print(f"nothing is due: {f'the next purge is from {due:%Y-%m-%d} on' if due else 'nothing was removed'}")
        return
    chunks, removed = store.chunks(), store.removed()
    until = Purged(chunks.version, removed.version)
    for release in settings.releases:
        dropped = purge_release(release.path, chunks, removed)
        print(f"{release.path}: {dropped:,} rows taken out", flush=True)
    if is_running() and _is_purged_by_ingest(store, until):
        print("serve the purged release again: running shards keep the old files open until then")
    else:
        lock = lock_store(store, wait_s=0)
        purge_store(store, until, READERS_S)
        lock.release()
    print(f"{folder}: holds nothing any more that was removed before version {until.chunks_version}", flush=True)


def _is_purged_by_ingest(store: Store, until: Purged) -> bool:
    """Whether the store is the one that is served, and so has one writer, who has purged it."""
    ingest = serve.get_deployment_handle("ingest", INGRESS)
    return bool(ingest.purge.remote(store.id, until, READERS_S).result())


if __name__ == "__main__":
    main(PurgeSettings, run)
