"""Queries expanded from the knowledge graph: the best score that any name of what the query names gets."""

from collections.abc import Sequence

import numpy as np

from evaluation.retrievers.base import Bench, Scorer


class Expanded(Scorer):
    """Around another retriever that scores every chunk, such as `expanded:bm25`."""

    form = "expanded:<bm25, exact, dense:..., hybrid:..., ...>"

    def __init__(self, bench: Bench, argument: str) -> None:
        super().__init__(bench, argument)
        inner = bench.retriever(argument)
        if not isinstance(inner, Scorer):
            raise ValueError(f"expanded:{argument}: only a retriever that scores every chunk can be expanded")
        if bench.synonyms is None:
            raise ValueError(f"expanded:{argument}: name a built graph in built_graph.path")
        self._inner, self._synonyms = inner, bench.synonyms
        self.fingerprints = {**inner.fingerprints, "graph": bench.graph_fingerprint}

    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        # One query at a time: each may have twenty names.
        return np.stack([self._inner.score_texts([text, *self._synonyms(text)]).max(axis=0) for text in texts])
