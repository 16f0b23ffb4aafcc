"""What a retriever is: something that scores every chunk of a benchmark for every query."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from evaluation.benchmark import Benchmark


class Retriever(ABC):
    """A leaf is a frozen dataclass: equal retrievers share one score matrix."""

    form: ClassVar[str]
    """How a spec names it: `kind`, or `kind:<argument>` for a leaf that takes one argument."""

    @abstractmethod
    def score(self, scores: "Scores") -> np.ndarray:
        """Float32 (queries, chunks), higher is better. Equal scores are ties."""


class Scores:
    """The score matrices of one benchmark, each computed once."""

    def __init__(self, benchmark: Benchmark, progress: Callable[[str], None]) -> None:
        self.benchmark = benchmark
        self.progress = progress
        self._computed: dict[Retriever, np.ndarray] = {}

    def of(self, retriever: Retriever) -> np.ndarray:
        """The retriever's matrix, float32 (queries, chunks). Raises ValueError if a score is not finite."""
        if retriever not in self._computed:
            matrix = retriever.score(self)
            if not np.isfinite(matrix).all():
                raise ValueError(f"{retriever} gives scores that are not finite; is its encoder damaged?")
            self._computed[retriever] = matrix
        return self._computed[retriever]
