"""A benchmark's chunks to vectors on Ray Data, kept by what was encoded with what."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from encoders.corpus_encoding import BATCH_ROWS, encode_corpus
from encoders.spec import read_spec, resolve
from encoders.workers import WorkerSettings
from evaluation.benchmark import Benchmark
from evaluation.fingerprints import chunks_fingerprint, encoder_fingerprint


class CorpusVectors:
    """Passage vectors of benchmarks by encoder name, in a folder of `<corpus>-<encoder fingerprint>.npy`."""

    def __init__(self, folder: Path, workers: WorkerSettings, progress: Callable[[str, int, int], None]) -> None:
        self._folder, self._workers, self._progress = folder, workers, progress

    def __call__(self, encoder: str, benchmark: Benchmark) -> np.ndarray:
        """Float32 (chunks, dimension), mapped from the file. Raises ValueError for a folder that holds no encoder."""
        path = self._folder / f"{chunks_fingerprint(benchmark)}-{encoder_fingerprint(encoder)}.npy"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}.unfinished")
            with aside.open("wb") as file:
                np.save(file, self._encode(encoder, benchmark))
            aside.rename(path)
        return np.load(path, mmap_mode="r")

    def _encode(self, encoder: str, benchmark: Benchmark) -> np.ndarray:
        chunks = pa.table({"at": range(len(benchmark.chunk_texts)), "text": benchmark.chunk_texts})
        blocks = [chunks.slice(at, BATCH_ROWS) for at in range(0, len(chunks), BATCH_ROWS)]
        workers = self._workers.model_copy(update={"number": min(self._workers.number, len(blocks))})
        dimension = read_spec(resolve(encoder)).dimension
        vectors = np.empty((len(chunks), dimension), np.float32)
        for table in encode_corpus(ray.data.from_arrow(blocks), encoder, workers):
            of_table = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            vectors[table["at"].to_numpy()] = of_table.reshape(len(table), dimension)
            self._progress(f"chunks encoded with {encoder}", len(table), len(chunks))
        return vectors
