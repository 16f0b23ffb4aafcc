"""What was removed or replaced, taken out of the files: of a store's versions and indexes, and of releases.

First the releases, then the store: a release that has not been purged is refused once its store is (`open_chunks`).
"""

import os
import shutil
from datetime import UTC, datetime
from functools import partial
from math import ceil
from pathlib import Path
from time import sleep
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from corpus.store import Purged, Store
from serving.coarse_lists import number_of_lists
from serving.lexical import index_text
from serving.manifest import MANIFEST, open_chunks, read_manifest
from serving.shard_files import load_shard, write_shard


def first_due(store: Store) -> datetime | None:
    """When the first of the removals that no purge has followed yet was made."""
    if not store.removed_path.exists():
        return None
    since = f"_row_last_updated_at_version > {store.purged.removed_version}"
    times = store.removed().to_table(columns=["removed_at"], filter=since)["removed_at"]
    return min(times.to_pylist(), default=None)


def purge_release(release: Path, chunks: lance.LanceDataset) -> int:
    """Replace the release by one without the rows that are not in `chunks` any more; how many these were.

    Raises ValueError when the release cannot be read or is not of this store.
    """
    manifest = read_manifest(release)
    if open_chunks(manifest).uri != chunks.uri:
        raise ValueError(f"{release}: a release of {manifest.store}, not of the store that is purged")
    aside, old = (release.with_name(f"{release.name}.{state}") for state in ("purging", "purged"))
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(release, aside, copy_function=os.link, ignore=shutil.ignore_patterns(MANIFEST, "shard-*"))
    current = chunks.to_table(columns=["chunk_id", "version"])
    shards, dropped = [], 0
    for number, shard in enumerate(manifest.shards):
        rows, index = load_shard(release, number)
        at = pa.array(np.arange(len(rows)))
        kept = (
            rows.select(["chunk_id", "version"])
            .append_column("at", at)
            .join(current, ["chunk_id", "version"], join_type="left semi")
        )
        kept_rows = np.sort(kept["at"].to_numpy())
        vectors = index.vectors[kept_rows].astype(np.float32)
        rows_left = rows.take(pa.array(kept_rows))
        share = shard.nprobe / number_of_lists(shard.rows)
        read = partial(_share_of_lists, share)
        shards.append(write_shard(aside / f"shard-{number}", shard.buckets, rows_left, vectors, shard.index, read))
        dropped += len(rows) - len(kept_rows)
    purged = manifest.model_copy(update={"shards": shards, "purged_version": chunks.version})
    (aside / MANIFEST).write_text(purged.model_dump_json(indent=1))
    release.rename(old)
    aside.rename(release)
    shutil.rmtree(old)
    return dropped


def _share_of_lists(share: float, lists: Any, _: object) -> int:
    return ceil(share * lists.nlist)


def mend_release(release: Path) -> None:
    """End a purge of the release that was broken off between its last two steps."""
    aside, old = (release.with_name(f"{release.name}.{state}") for state in ("purging", "purged"))
    if not release.exists() and (aside / MANIFEST).exists():
        aside.rename(release)
    shutil.rmtree(old, ignore_errors=True)


def purge_store(store: Store, until: Purged, readers_s: float) -> None:
    """Take out of the tables, their indexes and versions what was removed `until` then. Nobody else may write.

    Waits `readers_s` seconds, for those that read an older version to come to the head.
    """
    vectors = sorted((store.folder / "vectors").glob("*.lance"))
    tables = [store.notes_path, store.chunks_path, store.removed_path, *vectors]
    for path in tables:
        table = lance.dataset(path)
        table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    store.index_notes()
    index_text(store.chunks(), anew=True)
    # From here on a release that may hold what is gone is refused; the removals stay due until the end.
    store.mark_purged(until._replace(removed_version=store.purged.removed_version))
    begun = datetime.now(UTC)
    sleep(readers_s)
    for path in tables:
        # Files of a write that was broken off belong to no version; vectors are written by others as well.
        older = datetime.now(UTC) - begun
        lance.dataset(path).cleanup_old_versions(older, delete_unverified=path not in vectors)
    store.mark_purged(until)
