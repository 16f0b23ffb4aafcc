"""Notes whose text overlaps a benchmark's, whatever their ids, dates and de-identification marks.

MIMIC-III and MIMIC-IV hold the same notes under other ids, with `[** **]` here and `___` there for what was removed, so
texts are compared by their words of letters only. What counts is containment (Broder, On the resemblance and
containment of documents, 1997): how many of the 8-word sequences of the shorter text stand in the other one. A note
overlaps when it shares enough with a whole note of the benchmark, or holds nearly all of one of its chunks.
"""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_intdigest

from corpus.files import BREAKING_OFF

_MARKS = re.compile(r"\[[^\[\]]*\]")
_WORDS = re.compile(r"[^\W\d_]+")
_SEQUENCE_WORDS = 8
_FEWEST_SEQUENCES = 20
"""A shorter text counts as one of so many: one turn of phrase makes no duplicate."""
_BOILERPLATE_NOTES = 5
"""Sequences that stand in so many notes of the benchmark are phrases of the house and tell nothing."""
_NEARLY_ALL = 0.8
"""The share of a chunk from which it counts as copied: half of one is often a normal physical examination."""


class BenchmarkTexts:
    """The texts of a benchmark as hashed sequences of words, and the ids of their notes."""

    def __init__(self, path: Path, threshold: float) -> None:
        """`path` is a benchmark folder or a file in the form of its corpus.jsonl(.gz).

        Raises ValueError naming file and row for a file that is missing, cut, empty or of another form.
        """
        notes, hashes = [], []
        for identifier, text in _texts(_corpus_file(path)):
            notes.append(re.sub(r"_\d+$", "", identifier))
            hashes.append(_sequences(text))
        self.note_ids = frozenset(notes)
        """Of the chunk ids `<note_id>_<i>`."""
        sequences, chunks = np.concatenate(hashes), np.repeat(np.arange(len(hashes)), list(map(len, hashes)))
        notes_of_chunks = np.unique(notes, return_inverse=True)[1]
        telling = _stand_in_few(sequences, notes_of_chunks[chunks])
        sequences, chunks = sequences[telling], chunks[telling]
        self._notes = _Containment(sequences, notes_of_chunks[chunks])
        self._chunks = _Containment(sequences, chunks)
        self._threshold = threshold

    def overlaps(self, text: str) -> bool:
        """Whether a note shares the threshold with a note of the benchmark or holds nearly all of a chunk."""
        sequences = _sequences(text)
        return self._notes.share(sequences) >= self._threshold or self._chunks.share(sequences) >= _NEARLY_ALL


class _Containment:
    """Which sequence stands in which text, ready for look-up."""

    def __init__(self, sequences: np.ndarray, texts: np.ndarray) -> None:
        order = np.lexsort((texts, sequences))
        sequences, texts = sequences[order], texts[order].astype(np.int32)
        is_first = np.ones(len(order), bool)
        is_first[1:] = (np.diff(sequences) != 0) | (np.diff(texts) != 0)
        self._sequences, self._texts = sequences[is_first], texts[is_first]
        self._sizes = np.bincount(self._texts)

    def share(self, sequences: np.ndarray) -> float:
        """The largest share of the shorter one's sequences that a text and the given one have in common."""
        first = np.searchsorted(self._sequences, sequences)
        last = np.searchsorted(self._sequences, sequences, side="right")
        known = np.flatnonzero(last > first)
        if not len(known):
            return 0.0
        texts = np.concatenate([self._texts[first[i] : last[i]] for i in known])
        shared = np.bincount(texts, minlength=len(self._sizes))
        return float((shared / np.minimum(self._sizes, len(sequences)).clip(_FEWEST_SEQUENCES)).max())


def _corpus_file(path: Path) -> Path:
    """The file with the texts of a benchmark folder; `path` itself where it is no folder."""
    if not path.is_dir():
        return path
    plain = path / "corpus.jsonl"
    return plain if plain.is_file() else path / "corpus.jsonl.gz"


def _sequences(text: str) -> np.ndarray:
    """The distinct hashes (uint64, ascending) of all 8-word sequences of a text."""
    words = [word.encode() for word in _WORDS.findall(_MARKS.sub(" ", text).lower())]
    starts = range(len(words) - _SEQUENCE_WORDS + 1)
    hashes = [xxh3_64_intdigest(b" ".join(words[start : start + _SEQUENCE_WORDS])) for start in starts]
    return np.unique(np.array(hashes, np.uint64))


def _stand_in_few(sequences: np.ndarray, notes: np.ndarray) -> np.ndarray:
    """Which rows hold a sequence that stands in fewer than `_BOILERPLATE_NOTES` notes."""
    rank = np.unique(sequences, return_inverse=True)[1]
    in_note = np.unique(np.stack([rank, notes]), axis=1)[0]
    return np.bincount(in_note)[rank] < _BOILERPLATE_NOTES


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts of {"_id", "text"} a line."""
    row = 0
    for row, line in enumerate(_lines(path), 1):
        try:
            record = json.loads(line)
            yield str(record["_id"]), str(record["text"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f'{path} row {row}: not a JSON object with "_id" and "text"; correct the row') from None
    if not row:
        raise ValueError(f"{path}: no rows; give a benchmark folder or its corpus.jsonl")


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            yield from lines
    except BREAKING_OFF:
        raise ValueError(f"{path}: the gzip data is cut or damaged; fetch the file again") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8; convert the file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); give a benchmark folder or its corpus") from None
