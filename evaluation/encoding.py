"""A benchmark's chunks to vectors on Ray Data, kept by what was encoded with what."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from encoders.corpus_encoding import BATCH_ROWS, PassageEncoder, encode_corpus
from encoders.workers import WorkerSettings
from evaluation.benchmark import Benchmark
from evaluation.fingerprints import chunks_fingerprint


class CorpusVectors:
    """Passage vectors of benchmarks, in a folder of `<corpus>-<encoder fingerprint>.npy`."""

    def __init__(self, folder: Path, workers: WorkerSettings, progress: Callable[[str, int, int], None]) -> None:
        self._folder, self._workers, self._progress = folder, workers, progress

    def __call__(
        self, name: str, load: Callable[[], PassageEncoder], fingerprint: str, benchmark: Benchmark
    ) -> np.ndarray:
        """Float32 (chunks, dimension), mapped from the file; `load` gives a worker the encoder of that fingerprint."""
        path = self._folder / f"{chunks_fingerprint(benchmark)}-{fingerprint}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.unfinished")
            with aside.open("wb") as file:
                np.save(file, self._encode(name, load, benchmark))
            aside.rename(path)
        return np.load(path, mmap_mode="r")

    def _encode(self, name: str, load: Callable[[], PassageEncoder], benchmark: Benchmark) -> np.ndarray:
        chunks = pa.table({"at": range(len(benchmark.chunk_texts)), "text": benchmark.chunk_texts})
        blocks = [chunks.slice(at, BATCH_ROWS) for at in range(0, len(chunks), BATCH_ROWS)]
        workers = self._workers.model_copy(update={"number": min(self._workers.number, len(blocks))})
        vectors: np.ndarray | None = None
        for table in encode_corpus(ray.data.from_arrow(blocks), load, workers):
            of_table = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            of_table = of_table.reshape(len(table), -1)
            if vectors is None:
                vectors = np.empty((len(chunks), of_table.shape[1]), np.float32)
            vectors[table["at"].to_numpy()] = of_table
            self._progress(f"chunks encoded with {name}", len(table), len(chunks))
        assert vectors is not None
        return vectors
