"""Pairs of abbreviations and full names that an LLM mined from chunks, looked up in their file by chunk id.

The file is JSON lines, {"idx": chunk id, "abbreviations": [[short form, full name], ...]}. Only where the rows begin is
kept in memory, 16 bytes a row, as every worker has its own look-up.
"""

import json
from array import array
from pathlib import Path

import numpy as np
import xxhash


class MinedPairs:
    """Raises ValueError naming file and row for a row of another form."""

    def __init__(self, path: Path) -> None:
        self._path = path
        hashes, offsets, offset = array("Q"), array("Q"), 0
        with path.open("rb") as lines:
            for row, line in enumerate(lines, 1):
                try:
                    chunk_id, _ = _parsed(line)
                    hashes.append(_hash(chunk_id))
                except (ValueError, KeyError, TypeError, AttributeError):
                    expected = '{"idx": chunk id, "abbreviations": [[short form, full name], ...]}'
                    raise ValueError(f"{path} row {row}: not {expected}; correct the row") from None
                offsets.append(offset)
                offset += len(line)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._offsets = (np.frombuffer(of_row, np.uint64)[order] for of_row in (hashes, offsets))

    def of(self, chunk_id: str) -> list[tuple[str, str]]:
        """Short forms and full names of the last row of this chunk; none where it has no row."""
        key = np.uint64(_hash(chunk_id))
        begin, end = (np.searchsorted(self._hashes, key, side) for side in ("left", "right"))
        for offset in reversed(self._offsets[begin:end].tolist()):
            with self._path.open("rb") as lines:
                lines.seek(offset)
                found, pairs = _parsed(lines.readline())
            if found == chunk_id:
                return pairs
        return []


def _parsed(line: bytes) -> tuple[str, list[tuple[str, str]]]:
    record = json.loads(line)
    return record["idx"], [(str(short), str(full)) for short, full in record["abbreviations"]]


def _hash(chunk_id: str) -> int:
    return xxhash.xxh64_intdigest(chunk_id.encode())
