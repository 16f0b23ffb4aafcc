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
import pyarrow.compute as pc

from corpus.store import Purged, Store
from corpus.writing import StoreWriter, drop_outdated
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


def purge_release(release: Path, chunks: lance.LanceDataset, removed: lance.LanceDataset) -> int:
    """Replace the release by one without the rows that are not in `chunks` any more or are `removed`; how many.

    A removal that is being made is among the removed before it is out of the chunks. Raises ValueError when the release
    cannot be read or is not of this store.
    """
    manifest = read_manifest(release)
    if open_chunks(manifest).uri != chunks.uri:
        raise ValueError(f"{release}: a release of {manifest.store}, not of the store that is purged")
    aside, old = (release.with_name(f"{release.name}.{state}") for state in ("purging", "purged"))
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(release, aside, copy_function=os.link, ignore=shutil.ignore_patterns(MANIFEST, "shard-*"))
    current = _living(chunks, removed)
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


def _living(chunks: lance.LanceDataset, removed: lance.LanceDataset) -> pa.Table:
    """Ids and versions of the chunks whose notes are not removed."""
    rows = chunks.to_table(columns=["chunk_id", "version", "note_id"])
    gone = removed.to_table(columns=["note_id", "version"])
    both = rows.join(gone, "note_id", join_type="left outer", right_suffix="_removed")
    return both.filter(pc.greater(both["version"], pc.fill_null(both["version_removed"], -1)))


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
    begun = rewrite_store(store, until)
    sleep(readers_s)
    drop_old_files(store, until, begun)


def rewrite_store(store: Store, until: Purged) -> datetime:
    """Write tables and indexes anew without what was removed; when that was done. Nobody else may write meanwhile.

    From then on releases that may hold what is gone are refused; the removals stay due until the old files are dropped.
    """
    StoreWriter(store, {}).mend()
    for vectors in _vectors(store):
        drop_outdated(lance.dataset(vectors), store.chunks())
    for path in _tables(store):
        table = lance.dataset(path)
        table.optimize.compact_files(materialize_deletions=True, materialize_deletions_threshold=0.0)
    store.index_notes()
    index_text(store.chunks(), anew=True)
    store.mark_purged(until._replace(removed_version=store.purged.removed_version))
    return datetime.now(UTC)


def drop_old_files(store: Store, until: Purged, begun: datetime) -> None:
    """Delete the files of versions before `begun`. Nobody else may write meanwhile, nor read such a version."""
    vectors = _vectors(store)
    for path in _tables(store):
        # Files of a write that was broken off belong to no version; vectors are written by others as well.
        older = datetime.now(UTC) - begun
        lance.dataset(path).cleanup_old_versions(older, delete_unverified=path not in vectors)
    store.mark_purged(until)


def _vectors(store: Store) -> list[Path]:
    return sorted((store.folder / "vectors").glob("*.lance"))


def _tables(store: Store) -> list[Path]:
    return [store.notes_path, store.chunks_path, store.removed_path, *_vectors(store)]
