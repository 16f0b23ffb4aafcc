"""Benchmarks by the name of their layout, one reader a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from evaluation.benchmark import Benchmark
from evaluation.benchmarks import beir, cliniq, codes, own, pmc_patients, questions, terms, trec

Layout = Literal["drehr", "cliniq", "beir", "trec", "pmc_patients", "terms", "codes", "questions"]
READERS: dict[Layout, Callable[[Path], Benchmark]] = {
    "drehr": own.read,
    "cliniq": cliniq.read,
    "beir": beir.read,
    "trec": trec.read,
    "pmc_patients": pmc_patients.read,
    "terms": terms.read,
    "codes": codes.read,
    "questions": questions.read,
}


class BenchmarkSettings(BaseModel):
    """Which benchmark to evaluate on."""

    path: Path
    """A folder; for `questions` a file, for `trec` either."""
    layout: Layout = "drehr"
    """Which files it holds, as docs/evaluation.md says."""


def read_benchmark(path: Path, layout: Layout = "drehr") -> Benchmark:
    """Read and check a benchmark.

    Raises ValueError naming file and row: a missing file, column or value, a duplicate id, a judgement of an unknown
    query or document, a truncated gzip, an empty file.
    """
    return READERS[layout](path)
