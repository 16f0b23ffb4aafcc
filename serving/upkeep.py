"""What keeps a store fast that is written into all the time: few files, whole indexes, few old versions."""

from datetime import timedelta

import lance

from corpus.store import Store

KEPT = timedelta(days=1)
"""Versions that a running job may still read, such as one that builds the next release."""


def tidy(store: Store) -> None:
    """Join small files, index what came since the last time, drop versions older than KEPT. Nobody else may write."""
    vectors = sorted((store.folder / "vectors").glob("*.lance"))
    for path in (store.notes_path, store.chunks_path, store.removed_path, *vectors):
        table = lance.dataset(path)
        table.optimize.compact_files()
        table.optimize.optimize_indices()
        table.cleanup_old_versions(KEPT)
