"""Retrievers by the text that names them, such as `bm25`, `dense:bundled` or `run:other_tool.run`."""

from evaluation.retrievers.base import Bench, Retriever, Scorer
from evaluation.retrievers.bm25 import Bm25
from evaluation.retrievers.dense import Dense, SentenceTransformers
from evaluation.retrievers.exact import Exact
from evaluation.retrievers.expanded import Expanded
from evaluation.retrievers.hybrid import Hybrid, ReciprocalRank
from evaluation.retrievers.run_file import RunFile
from evaluation.retrievers.service import Service

LEAVES = (Bm25, Exact, Dense, SentenceTransformers, Hybrid, ReciprocalRank, Expanded, Service, RunFile)
RETRIEVERS: dict[str, type[Retriever]] = {leaf.form.partition(":")[0]: leaf for leaf in LEAVES}


def parse_retriever(spec: str) -> tuple[type[Retriever], str]:
    """The leaf that `spec` names, and its argument. Raises ValueError listing the known forms."""
    kind, _, argument = spec.partition(":")
    leaf = RETRIEVERS.get(kind)
    if leaf is None or (":" in leaf.form) != bool(argument) or spec.endswith(":"):
        forms = ", ".join(known.form for known in RETRIEVERS.values())
        raise ValueError(f"unknown retriever {spec!r}; known: {forms}")
    if leaf is Expanded:
        parse_retriever(argument)
    return leaf, argument


def input_of(spec: str) -> str:
    """What a retriever reads beside the benchmark: an encoder's name, a folder or a file; empty for nothing."""
    leaf, argument = parse_retriever(spec)
    if leaf is Expanded:
        return input_of(argument)
    return "" if leaf is Service else argument


__all__ = ["Bench", "Retriever", "Scorer", "input_of", "parse_retriever"]
