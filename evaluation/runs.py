"""TREC run files: `query-id Q0 chunk-id rank score tag`, one line for each ranked chunk."""

import os
import re
from pathlib import Path

import numpy as np
import xxhash

from evaluation.benchmark import Benchmark

RUN_DEPTH = 1000
"""Chunks kept for each query, as is customary at TREC."""


def run_file_name(spec: str) -> str:
    """A file name for the run of the retriever that `spec` names; different specs get different names."""
    plain = re.sub(r"[^\w.-]+", "_", spec)
    return f"{plain}.run" if plain == spec else f"{plain[-100:]}-{xxhash.xxh32_hexdigest(spec.encode())}.run"


def write_run(path: Path, benchmark: Benchmark, order: np.ndarray, scores: np.ndarray, tag: str) -> None:
    """Write the best `RUN_DEPTH` chunks of every query; `path` appears only when it is whole.

    `order` holds chunk positions best first, `scores` is indexed by chunk position; both (queries, chunks).
    Scores are written so that they read back exactly; equal ones stay ties.
    """
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for query_id, chunks, of_chunk in zip(benchmark.query_ids, order[:, :RUN_DEPTH], scores, strict=True):
            ranked = zip(chunks.tolist(), of_chunk[chunks].tolist(), strict=True)
            file.writelines(
                f"{query_id} Q0 {benchmark.chunk_ids[chunk]} {rank} {score:.9g} {tag}\n"
                for rank, (chunk, score) in enumerate(ranked, start=1)
            )
    os.replace(partial, path)
