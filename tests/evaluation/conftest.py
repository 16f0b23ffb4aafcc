"""The tiny benchmark as a folder, and what retrievers need to search one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_benchmark import TINY

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


KEPT: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}


def encode_here(name: str, load: Callable, fingerprint: str, texts: Sequence[str]) -> np.ndarray:
    """In this process, without Ray; the same texts once."""
    key = fingerprint, tuple(texts)
    if key not in KEPT:
        KEPT[key] = load().encode_passages(texts)
    return KEPT[key]


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """A benchmark ready to search; what retrievers say goes to `said`."""

    def make(benchmark: Benchmark, said: list[str] | None = None, synonyms: Callable | None = None) -> Bench:
        return Bench(benchmark, [].append if said is None else said.append, lambda *_: None, encode_here, synonyms)

    return make
