"""Retrievers by the text that names them, such as `bm25`, `dense:bundled` or `hybrid:runs/encoder`."""

from collections.abc import Callable

from evaluation.retrievers.base import Retriever, Scores
from evaluation.retrievers.bm25 import Bm25
from evaluation.retrievers.dense import Dense
from evaluation.retrievers.hybrid import Hybrid

RETRIEVERS: dict[str, type[Retriever]] = {leaf.form.partition(":")[0]: leaf for leaf in (Bm25, Dense, Hybrid)}


def parse_retriever(spec: str) -> Retriever:
    """The retriever that `spec` names. Raises ValueError listing the known forms."""
    kind, _, argument = spec.partition(":")
    leaf = RETRIEVERS.get(kind)
    if leaf is None or (":" in leaf.form) != bool(argument) or spec.endswith(":"):
        forms = ", ".join(known.form for known in RETRIEVERS.values())
        raise ValueError(f"unknown retriever {spec!r}; known: {forms}")
    build: Callable[..., Retriever] = leaf
    return build(argument) if argument else build()


__all__ = ["Retriever", "Scores", "parse_retriever"]
