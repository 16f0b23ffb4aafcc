"""The tiny benchmark as a folder, and what retrievers need to search one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tiny_benchmark import TINY

from encoders.encoder import Encoder
from evaluation.benchmark import Benchmark
from evaluation.retrievers import Bench


@pytest.fixture
def write_benchmark(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny benchmark, `changes` replacing whole files by name."""

    def write(changes: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "tiny"
        folder.mkdir()
        for name, text in (TINY | (changes or {})).items():
            (folder / name).write_text(text)
        return folder

    return write


def encode_here(encoder: str, benchmark: Benchmark) -> np.ndarray:
    """In this process, without Ray; the same texts once."""
    return _vectors(encoder, benchmark.chunk_texts)


@cache
def _vectors(encoder: str, texts: tuple[str, ...]) -> np.ndarray:
    return Encoder.load(encoder).encode_passages(texts)


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """A benchmark ready to search; what retrievers say goes to `said`."""

    def make(benchmark: Benchmark, said: list[str] | None = None, synonyms: Callable | None = None) -> Bench:
        return Bench(benchmark, [].append if said is None else said.append, lambda *_: None, encode_here, synonyms)

    return make
