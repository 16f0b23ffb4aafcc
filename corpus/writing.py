"""Notes that come, change and go while the store is in service: one writer, a group of changes at a time.

A group is committed table by table, chunks last: who reads a version of the chunks finds their vectors. What a crash
leaves between two commits is mended from the notes, which are the truth.
"""

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
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
Encode = Callable[[Sequence[str]], NDArray[np.floating]]
"""Texts of passages to their vectors (n, dimension)."""


class Changes(NamedTuple):
    """A group: notes (rows of NOTE_SCHEMA), and ids of notes and of patients to remove.

    A note that the group both brings and removes is removed; what it brings to a patient who stays, stays.
    """

    notes: Sequence[Mapping[str, Any]] = ()
    remove_notes: Sequence[str] = ()
    remove_patients: Sequence[str] = ()

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
        """`encoders` by the fingerprint of the vectors that are kept up to date."""
        self._store = store
        self._encoders = encoders
        self._is_whole = False
        if not store.removed_path.exists():
            lance.write_dataset(REMOVED_SCHEMA.empty_table(), store.removed_path, enable_stable_row_ids=True)

    def write(self, changes: Changes) -> int:
        """Commit a group; the version of the chunks that holds it.

        A note that is there in the same or a later version, or was removed in one, is left out, so a group may be
        written again. Raises what Lance raises when storage fails; the next call then mends first.
        """
        if not self._is_whole:
            self.mend()
        self._is_whole = False
        newest = {note["note_id"]: dict(note) for note in sorted(changes.notes, key=lambda note: note["version"])}
        notes = pa.Table.from_pylist(list(newest.values()), schema=NOTE_SCHEMA)
        removed = self._removals(changes, notes)
        self._remember(removed)
        for known in (self._store.notes(), self._store.removed()):
            notes = _newer(notes, known)
        there = self._store.notes().to_table(columns=KEY, filter=among("note_id", removed["note_id"].to_pylist()))
        gone = _outlived(there, removed) if len(removed) else []
        replace_rows(self._store.notes_path, "note_id", notes, among("note_id", gone))
        self._derive(notes, gone)
        _settle(self._store.folder)
        self._is_whole = True
        return self._store.chunks().version

    def mend(self) -> None:
        """Bring chunks and vectors to what the notes say, after a writer that did not come to its end."""
        notes = self._store.notes().to_table(columns=KEY)
        gone = _outlived(notes, self._store.removed().to_table(columns=KEY))
        replace_rows(self._store.notes_path, "note_id", NOTE_SCHEMA.empty_table(), among("note_id", gone))
        chunked = self._store.chunks().to_table(columns=KEY).group_by(KEY).aggregate([])
        wrong = differing(_without(notes, gone), chunked, KEY, "note_id")
        if wrong:
            self._derive(self._store.notes().to_table(filter=among("note_id", wrong)), wrong)
        for fingerprint in self._encoders:
            self._mend_vectors(fingerprint)
        self._is_whole = True

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
        replace_rows(self._store.removed_path, "note_id", _newer(removed, self._store.removed()), None)

    def _derive(self, notes: pa.Table, gone: Sequence[str]) -> None:
        """Replace chunks and vectors of these notes, and take away those of notes that are gone (or among these)."""
        replaced = among("note_id", [*notes["note_id"].to_pylist(), *gone])
        if replaced is None:
            return
        chunks = chunk_rows(notes, self._store.chunking)
        blank = _without(notes, chunks["note_id"].to_pylist())
        before = pc.subtract(blank["version"], 1)
        now = pa.array([datetime.now(UTC)] * len(blank), REMOVED_SCHEMA.field("removed_at").type)
        self._remember(pa.table([blank["note_id"], before, now], schema=REMOVED_SCHEMA))
        old = self._store.chunks().to_table(columns=["chunk_id"], filter=replaced)["chunk_id"].to_pylist()
        for fingerprint in self._encoders:
            self._replace_vectors(fingerprint, chunks, old)
        replace_rows(self._store.chunks_path, "chunk_id", chunks, replaced)

    def _mend_vectors(self, fingerprint: str) -> None:
        chunks, key = self._store.chunks(), ["chunk_id", "version"]
        encoded = self._store.vectors(fingerprint).to_table(columns=key)
        wrong = differing(chunks.to_table(columns=key), encoded, key, "chunk_id")
        if wrong:
            self._replace_vectors(fingerprint, chunks.to_table(filter=among("chunk_id", wrong)), wrong)

    def _replace_vectors(self, fingerprint: str, chunks: pa.Table, old: Sequence[str]) -> None:
        schema = self._store.vectors(fingerprint).schema
        rows = schema.empty_table()
        if len(chunks):
            vectors = np.asarray(self._encoders[fingerprint](chunks["text"].to_pylist()), np.float32)
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            rows = pa.table([chunks["chunk_id"], chunks["version"], column], schema=schema)
        replace_rows(self._store.vectors_path(fingerprint), "chunk_id", rows, among("chunk_id", old))


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


def _newer(notes: pa.Table, known: lance.LanceDataset) -> pa.Table:
    """Those of which `known` has no row, or one of an earlier version."""
    if not len(notes):
        return notes
    ids = notes["note_id"].to_pylist()
    found = known.to_table(columns=KEY, filter=among("note_id", ids)).to_pylist()
    versions = {row["note_id"]: row["version"] for row in found}
    rows = zip(ids, notes["version"].to_pylist(), strict=True)
    return notes.filter(pa.array([version > versions.get(note, -1) for note, version in rows], pa.bool_()))
