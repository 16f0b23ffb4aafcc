"""What a retriever is: something that ranks a benchmark's documents for its queries."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from encoders.kept_vectors import TextEncoder
from evaluation.benchmark import Benchmark
from evaluation.ranking import Hits, hits_by_score


@dataclass
class Bench:
    """A benchmark with what retrievers need to search it; each retriever is prepared once."""

    benchmark: Benchmark
    progress: Callable[[str], None]
    count: Callable[[str, int, int], None]
    """Told of what takes long: a name, how many are newly done, how many there are."""
    encode: Callable[[str, Callable[[], TextEncoder], str, Sequence[str]], np.ndarray]
    """Passage vectors, float32 (texts, dimension), by an encoder's name, what loads it, its fingerprint and texts."""
    synonyms: Callable[[str], Sequence[str]] | None = None
    """Other names of what a text names, for retrievers that expand queries."""
    graph_fingerprint: str = ""
    """Of the graph that knows the synonyms."""
    _prepared: dict[str, "Retriever"] = field(default_factory=dict)

    def retriever(self, spec: str) -> "Retriever":
        """The retriever that `spec` names, ready to search. Raises ValueError listing the known forms."""
        from evaluation.retrievers import parse_retriever

        if spec not in self._prepared:
            leaf, argument = parse_retriever(spec)
            if leaf.needs_texts and not self.benchmark.has_texts:
                raise ValueError(f"{spec}: the benchmark tells no texts; only run:<file> can be scored on it")
            self._prepared[spec] = leaf(self, argument)
        return self._prepared[spec]


class Retriever(ABC):
    """A leaf declares its form and ranks. Preparing it (an index, vectors) is its construction."""

    form: ClassVar[str]
    """How a spec names it: `kind`, or `kind:<argument>` for a leaf that takes an argument."""
    needs_texts: ClassVar[bool] = True
    fingerprints: Mapping[str, str] = MappingProxyType({})
    """Of what it reads beside the benchmark, by a name for each."""

    def __init__(self, bench: Bench, argument: str) -> None:
        self.bench = bench

    @abstractmethod
    def hits(self, queries: Sequence[int]) -> list[Hits]:
        """The ranking for each of the queries, by their positions in the benchmark."""


class Scorer(Retriever):
    """A retriever that scores every chunk, so that every document is ranked."""

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        self._last: tuple[tuple[int, ...], np.ndarray] | None = None

    @abstractmethod
    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (texts, chunks), higher is better; equal scores are ties."""

    def scores(self, queries: Sequence[int]) -> np.ndarray:
        """Float32 (queries, chunks), kept until other queries are asked for. Raises ValueError if one is not finite."""
        asked = tuple(queries)
        if self._last is None or self._last[0] != asked:
            self._last = asked, self._scored(asked)
        return self._last[1]

    def _scored(self, queries: Sequence[int]) -> np.ndarray:
        scores = self.score_texts([self.bench.benchmark.query_texts[query] for query in queries])
        if not np.isfinite(scores).all():
            raise ValueError(f"{type(self).form} gives scores that are not finite; is its encoder damaged?")
        return scores

    def hits(self, queries: Sequence[int]) -> list[Hits]:
        return [hits_by_score(self.bench.benchmark, of_query) for of_query in self.scores(queries)]
