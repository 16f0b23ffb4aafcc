"""What a shard holds at one version of the store: the release's rows, those that came since, and which still hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpus.lance_rows import among
from corpus.store import Store
from corpus.tables import CHUNK_SCHEMA, REMOVED_SCHEMA
from serving.manifest import ReleaseManifest, open_chunks, read_manifest
from serving.segment import Segment
from serving.shard_files import load_shard
from serving.vector_index import ExactIndex, Rows
from serving.vectors import unit_vectors

SINCE = "_row_last_updated_at_version > {version}"


@dataclass(frozen=True)
class Part:
    """A segment, and which of its rows are still what the store says."""

    segment: Segment
    alive: NDArray[np.bool_] | None = None
    """None: all."""

    def living(self, rows: Rows | None) -> Rows | None:
        """Of these rows (None: all) those that are alive; None for all."""
        if self.alive is None:
            return rows
        return np.flatnonzero(self.alive) if rows is None else rows[self.alive[rows]]

    def at(self, row_ids: Rows) -> NDArray[np.int64]:
        """Row numbers of Lance row ids, -1 for those that are not here or no longer."""
        rows = self.segment.at(row_ids)
        if self.alive is not None:
            rows[(rows >= 0) & ~self.alive[rows]] = -1
        return rows

    def without(self, notes: Sequence[str], versions: Sequence[int]) -> "Part":
        """The part without what these notes had before, or in, these versions."""
        rows = self.segment.of_notes(notes)
        if not len(rows):
            return self
        last = dict(zip(notes, versions, strict=True))
        some = self.segment.rows.select(["note_id", "version"]).take(pa.array(rows)).to_pydict()
        dead = [version <= last[note] for note, version in zip(some["note_id"], some["version"], strict=True)]
        alive = np.ones(len(self.segment), bool) if self.alive is None else self.alive.copy()
        alive[rows[dead]] = False
        return Part(self.segment, alive)


@dataclass(frozen=True)
class ShardState:
    """Everything a search of one shard reads."""

    version: int
    """Of the store's chunks."""
    removed_version: int
    """Of the store's table of removed notes; 0 before there is one."""
    chunks: lance.LanceDataset
    base: Part
    delta: Part

    @property
    def parts(self) -> tuple[Part, Part]:
        """Where the rows are."""
        return self.base, self.delta


class Follower:
    """Keeps a shard at the head of the store: what the release holds, and exactly what changed since."""

    def __init__(self, release: Path, number: int) -> None:
        """Shard `number` of the release, as it was built. Raises ValueError when a file is missing or wrong."""
        self._manifest: ReleaseManifest = read_manifest(release)
        self._store = Store(self._manifest.store)
        buckets = self._manifest.shards[number].buckets
        self._buckets = f"bucket BETWEEN {buckets[0]} AND {buckets[-1]}" if buckets else "false"
        chunks = open_chunks(self._manifest)
        base = Part(Segment(*load_shard(release, number)))
        nothing = base.segment.rows.slice(0, 0), ExactIndex(np.empty((0, self._manifest.dimension), np.float32))
        self.state = ShardState(self._manifest.chunks_version, 0, chunks, base, Part(Segment(*nothing)))

    def follow(self) -> bool:
        """Go to the store's head; whether there was anything new.

        Raises ValueError when the store is another one, or lacks a vector, as it may while a release is made ready.
        """
        while True:
            chunks = self._store.chunks()
            try:
                return self._follow(chunks)
            except ValueError:
                # The vectors of what is replaced in the meantime go away.
                if self._store.chunks().version == chunks.version:
                    raise

    def _follow(self, chunks: lance.LanceDataset) -> bool:
        if self._store.id != self._manifest.store_id:
            raise ValueError(f"{self._store.folder}: written anew since the release was built; rebuild the release")
        before = self.state
        # Read after the head of the chunks: what is removed there is among these, since that is committed first.
        removed_version, removed = self._removed_since(before.removed_version)
        if (chunks.version, removed_version) == (before.version, before.removed_version):
            return False
        since = SINCE.format(version=before.version)
        changed = chunks.to_table(columns=["note_id", "version"], filter=since)
        gone = pa.concat_tables([removed, changed]).group_by("note_id").aggregate([("version", "max")]).to_pydict()
        base, delta = (part.without(gone["note_id"], gone["version_max"]) for part in before.parts)
        new = chunks.to_table(columns=CHUNK_SCHEMA.names, with_row_id=True, filter=f"{since} AND {self._buckets}")
        new = _outliving(new, removed)
        self.state = ShardState(chunks.version, removed_version, chunks, base, self._joined(delta, new))
        return True

    def _removed_since(self, version: int) -> tuple[int, pa.Table]:
        columns = ["note_id", "version"]
        if not self._store.removed_path.exists():
            return 0, REMOVED_SCHEMA.empty_table().select(columns)
        removed = self._store.removed()
        return removed.version, removed.to_table(columns=columns, filter=SINCE.format(version=version))

    def _joined(self, delta: Part, new: pa.Table) -> Part:
        """The living rows of the delta and the new ones, in patient order."""
        segment = delta.segment
        kept = delta.living(None)
        if not len(new) and kept is None:
            return delta
        kept = np.arange(len(segment)) if kept is None else kept
        new = new.rename_columns({"_rowid": "row_id"})
        rows = pa.concat_tables([segment.rows.take(pa.array(kept)), new.cast(segment.rows.schema)])
        vectors = np.concatenate([segment.index.vectors[kept], self._vectors_of(new)])
        order = pc.sort_indices(rows["patient_id"])
        return Part(Segment(rows.take(order), ExactIndex(vectors[order.to_numpy()])))

    def _vectors_of(self, rows: pa.Table) -> NDArray[np.float32]:
        wanted = among("chunk_id", rows["chunk_id"].to_pylist())
        vectors = lance.dataset(self._store.vectors_path(self._manifest.vectors_name))
        found = vectors.to_table(filter=wanted) if wanted else vectors.schema.empty_table()
        return unit_vectors(rows, found.to_batches(), self._manifest.dimension, vectors.uri)


def _outliving(rows: pa.Table, removed: pa.Table) -> pa.Table:
    """The rows without what is removed: its chunks may still be in the store when its removal is."""
    last = dict(zip(removed["note_id"].to_pylist(), removed["version"].to_pylist(), strict=True))
    keys = zip(rows["note_id"].to_pylist(), rows["version"].to_pylist(), strict=True)
    return rows.filter(pa.array([version > last.get(note, -1) for note, version in keys], pa.bool_()))
