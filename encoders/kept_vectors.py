"""Texts to vectors on Ray Data, kept by what was encoded with what."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
import xxhash

from encoders.corpus_encoding import BATCH_ROWS, Kind, PassageEncoder, encode_corpus
from encoders.workers import WorkerSettings


class KeptVectors:
    """Vectors in a folder of `<texts>-<encoder fingerprint>-<kind>.npy`."""

    def __init__(self, folder: Path, workers: WorkerSettings, progress: Callable[[str, int, int], None]) -> None:
        self._folder, self._workers, self._progress = folder, workers, progress

    def __call__(
        self,
        name: str,
        load: Callable[[], PassageEncoder],
        fingerprint: str,
        texts: Sequence[str],
        kind: Kind = "passage",
    ) -> np.ndarray:
        """Float32 (texts, dimension), mapped from the file; `load` gives a worker the encoder of that fingerprint.

        `name` is what progress lines call the encoder.
        """
        path = self._folder / f"{texts_fingerprint(texts)}-{fingerprint}-{kind}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.unfinished")
            with aside.open("wb") as file:
                np.save(file, self._encode(name, load, texts, kind))
            aside.rename(path)
        return np.load(path, mmap_mode="r")

    def _encode(self, name: str, load: Callable[[], PassageEncoder], texts: Sequence[str], kind: Kind) -> np.ndarray:
        table = pa.table({"at": range(len(texts)), "text": texts})
        blocks = [table.slice(at, BATCH_ROWS) for at in range(0, len(table), BATCH_ROWS)]
        workers = self._workers.model_copy(update={"number": min(self._workers.number, len(blocks))})
        vectors: np.ndarray | None = None
        for encoded in encode_corpus(ray.data.from_arrow(blocks), load, workers, kind):
            of_table = encoded["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            of_table = of_table.reshape(len(encoded), -1)
            if vectors is None:
                vectors = np.empty((len(texts), of_table.shape[1]), np.float32)
            vectors[encoded["at"].to_numpy()] = of_table
            what = "chunks" if kind == "passage" else "terms"
            self._progress(f"{what} encoded with {name}", len(encoded), len(texts))
        assert vectors is not None
        return vectors


def texts_fingerprint(texts: Sequence[str]) -> str:
    """Of texts in their order."""
    digest = xxhash.xxh3_128()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()
