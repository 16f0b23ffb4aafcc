"""Notes that come, change and go while the store is in service: one writer, a group of changes at a time.

A group is committed table by table: its vectors first, beside those of the versions before, the chunks after the notes,
and only then what is outdated goes. So whoever reads a version of the chunks finds their vectors. What a crash leaves
between two commits is mended from the notes, which are the truth.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpus.chunk_table import chunk_rows
from corpus.lance_rows import among, differing, replace_rows
from corpus.store import Store
from corpus.tables import NOTE_SCHEMA, REMOVED_SCHEMA

KEY = ["note_id", "version"]
VECTOR_KEY = ["chunk_id", "version"]
MENDED_TOGETHER = 1_000
DROPPED_TOGETHER = 10_000
Encode = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts of passages to their vectors (n, dimension)."""


class Changes(NamedTuple):
    """A group: notes (rows of NOTE_SCHEMA), and ids of notes and of patients to remove.

    A note that the group both brings and removes is removed; what it brings to a patient who stays, stays.
    """

    notes: Sequence[Mapping[str, Any]] = ()
    remove_notes: Sequence[str] = ()
    remove_patients: Sequence[str] = ()
    seen: Mapping[str, str] | None = None
    """Whose the notes that it names were when its right to change them was checked: of those that were there."""

    def brought(self) -> set[tuple[str, str]]:
        """Its notes and their patients."""
        return {(note["note_id"], note["patient_id"]) for note in self.notes}

    def fits(self, there: Iterable[tuple[str, str]]) -> bool:
        """Whether its right was checked for all of these notes and patients, of notes that it changes.

        Also those that it brings itself: a change that comes a second time fits what the first made.
        """
        if self.seen is None:
            return True
        named = {note["note_id"] for note in self.notes} | {*self.remove_notes}
        return {pair for pair in there if pair[0] in named} <= self.brought() | {*self.seen.items()}

    @classmethod
    def together(cls, several: Sequence["Changes"]) -> "Changes":
        """All of them as one group."""
        return cls(
            [note for each in several for note in each.notes],
            [note for each in several for note in each.remove_notes],
            [patient for each in several for patient in each.remove_patients],
        )


class StoreWriter:
    """The only writer of a store while it lives."""

    def __init__(self, store: Store, encoders: Mapping[str, Encode]) -> None:
        """`encoders` by the name of the vectors that are kept up to date."""
        self._store = store
        self._encoders = encoders
        self._is_whole = False
        if not store.removed_path.exists():
            lance.write_dataset(REMOVED_SCHEMA.empty_table(), store.removed_path, enable_stable_row_ids=True)

    def write(self, changes: Changes) -> int:
        """Commit a group; the version of the chunks that holds it.

        A note that is there in the same or a later version, or was removed in one, is left out, so a group may be
        written again. Raises what the encoder raises, with nothing written; and what Lance raises when storage
        fails: the next call then mends first.
        """
        if not self._is_whole:
            self.mend()
        newest = {note["note_id"]: dict(note) for note in sorted(changes.notes, key=lambda note: note["version"])}
        notes = pa.Table.from_pylist(list(newest.values()), schema=NOTE_SCHEMA)
        removed = self._removals(changes, notes)
        notes = _newer(notes, removed)
        for known in (self._store.notes(), self._store.removed()):
            notes = _newer(notes, _known(known, notes))
        chunks = chunk_rows(notes, self._store.chunking)
        vectors = self._encoded(chunks)
        self._is_whole = False
        self._add(vectors)
        self._remember(removed)
        there = _known(self._store.notes(), removed)
        gone = _outlived(there, removed) if len(removed) else []
        replace_rows(self._store.notes_path, "note_id", notes, among("note_id", gone))
        self._replace_chunks(notes, chunks, gone)
        _settle(self._store.folder)
        self._is_whole = True
        return self._store.chunks().version

    def is_outdated(self, changes: Changes) -> bool:
        """Whether a note of the changes is another patient's by now than those for whom the right was checked."""
        wanted = among("note_id", [*(note["note_id"] for note in changes.notes), *changes.remove_notes])
        if changes.seen is None or wanted is None:
            return False
        found = self._store.notes().to_table(columns=["note_id", "patient_id"], filter=wanted).to_pylist()
        return not changes.fits((row["note_id"], row["patient_id"]) for row in found)

    def mend(self) -> None:
        """Bring chunks and vectors to what the notes say, after a writer that did not come to its end."""
        notes = self._store.notes().to_table(columns=KEY)
        gone = _outlived(notes, self._store.removed().to_table(columns=KEY))
        replace_rows(self._store.notes_path, "note_id", NOTE_SCHEMA.empty_table(), among("note_id", gone))
        chunked = self._store.chunks().to_table(columns=KEY).group_by(KEY).aggregate([])
        wrong = differing(_without(notes, gone), chunked, KEY, "note_id")
        for start in range(0, len(wrong), MENDED_TOGETHER):
            some = wrong[start : start + MENDED_TOGETHER]
            rows = self._store.notes().to_table(filter=among("note_id", some))
            self._replace_chunks(rows, chunk_rows(rows, self._store.chunking), some)
        self.encode_missing()
        self._drop_outdated(None)
        self._is_whole = True

    def encode_missing(self) -> None:
        """Give every chunk its vectors, a part after the other; writes may go on beside it."""
        for name, encode in self._encoders.items():
            _, missing = self._store.unencoded(name, self._store.chunks())
            for batch in missing:
                for start in range(0, len(batch), MENDED_TOGETHER):
                    some = pa.Table.from_batches([batch.slice(start, MENDED_TOGETHER)])
                    self._store.add_vectors(name, self._vectors(name, encode, some))

    def _removals(self, changes: Changes, notes: pa.Table) -> pa.Table:
        """Rows of REMOVED_SCHEMA for all that is to go: of the store's notes and of those that come with the group."""
        named = [("note_id", changes.remove_notes), ("patient_id", changes.remove_patients)]
        rows: dict[str, int] = {}
        for column, values in named:
            if not values:
                continue
            there = self._store.notes().to_table(columns=KEY, filter=among(column, values))
            coming = notes.filter(pc.is_in(notes[column], pa.array(values, pa.string()))).select(KEY)
            for row in [*there.to_pylist(), *coming.to_pylist()]:
                rows[row["note_id"]] = max(row["version"], rows.get(row["note_id"], 0))
        now = datetime.now(UTC)
        found = [{"note_id": note, "version": version, "removed_at": now} for note, version in rows.items()]
        return pa.Table.from_pylist(found, schema=REMOVED_SCHEMA)

    def _remember(self, removed: pa.Table) -> None:
        newer = _newer(removed, _known(self._store.removed(), removed))
        replace_rows(self._store.removed_path, "note_id", newer)

    def _replace_chunks(self, notes: pa.Table, chunks: pa.Table, gone: Sequence[str]) -> None:
        """Put `chunks` in the place of all that these notes had, and take away those of notes that are gone."""
        replaced = among("note_id", [*notes["note_id"].to_pylist(), *gone])
        if replaced is None:
            return
        # Shards learn from the chunks what came and from the removed what went: a note that has no chunks any more
        # (cleaning left nothing of it) went as well.
        blank = _without(notes, chunks["note_id"].to_pylist())
        before = pc.subtract(blank["version"], 1)
        now = pa.array([datetime.now(UTC)] * len(blank), REMOVED_SCHEMA.field("removed_at").type)
        self._remember(pa.table([blank["note_id"], before, now], schema=REMOVED_SCHEMA))
        old = self._store.chunks().to_table(columns=["chunk_id"], filter=replaced)["chunk_id"].to_pylist()
        replace_rows(self._store.chunks_path, "chunk_id", chunks, replaced)
        if old:
            self._drop_outdated(among("chunk_id", old))

    def _encoded(self, chunks: pa.Table) -> dict[str, pa.Table]:
        return {each: self._vectors(each, encode, chunks) for each, encode in self._encoders.items() if len(chunks)}

    def _vectors(self, name: str, encode: Encode, chunks: pa.Table) -> pa.Table:
        vectors = np.asarray(encode(chunks["text"].to_pylist()), np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        schema = self._store.vectors(name).schema
        return pa.table([chunks["chunk_id"], chunks["version"], column], schema=schema)

    def _add(self, vectors: Mapping[str, pa.Table]) -> None:
        for name, rows in vectors.items():
            lance.write_dataset(rows, self._store.vectors_path(name), mode="append")

    def _drop_outdated(self, wanted: str | None) -> None:
        for name in self._encoders:
            drop_outdated(self._store.vectors(name), self._store.chunks(), wanted)


def drop_outdated(vectors: lance.LanceDataset, chunks: lance.LanceDataset, wanted: str | None = None) -> None:
    """Delete the vectors, of chunks for which `wanted` holds (None: all), that are of no chunk's version."""
    current = chunks.to_table(columns=VECTOR_KEY, filter=wanted)
    there = vectors.to_table(columns=VECTOR_KEY, filter=wanted, with_row_id=True)
    rows = there.join(current, VECTOR_KEY, join_type="left anti")["_rowid"].to_pylist()
    for start in range(0, len(rows), DROPPED_TOGETHER):
        some = ",".join(map(str, rows[start : start + DROPPED_TOGETHER]))
        vectors.delete(f"_rowid IN ({some})")


def _settle(folder: Path) -> None:
    """Lance leaves its files to the operating system; what is acknowledged must outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def _without(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table["note_id"], pa.array(notes, pa.string()))))


def _outlived(notes: pa.Table, removed: pa.Table) -> list[str]:
    """The notes that are there in a version that is removed."""
    both = notes.join(removed.select(KEY), "note_id", join_type="inner", right_suffix="_removed")
    return both.filter(pc.less_equal(both["version"], both["version_removed"]))["note_id"].to_pylist()


def _known(table: lance.LanceDataset, notes: pa.Table) -> pa.Table:
    """What the table has of these notes: their ids and versions."""
    wanted = among("note_id", notes["note_id"].to_pylist())
    return table.to_table(columns=KEY, filter=wanted) if wanted else NOTE_SCHEMA.empty_table().select(KEY)


def _newer(notes: pa.Table, known: pa.Table) -> pa.Table:
    """Those of which `known` has no row, or one of an earlier version."""
    versions = dict(zip(known["note_id"].to_pylist(), known["version"].to_pylist(), strict=True))
    rows = zip(notes["note_id"].to_pylist(), notes["version"].to_pylist(), strict=True)
    return notes.filter(pa.array([version > versions.get(note, -1) for note, version in rows], pa.bool_()))
