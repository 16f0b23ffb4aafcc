"""Encoding on processors against sentence-transformers: the same weights, texts and threads, the sides in turn.

    python -m benchmarks.encode [--data ../shared/data] [--turns 5]

The bundled encoder on CHUNKS of bench-dev's chunks and its queries, then single queries one after the other; medians of
the turns. NDCG@10 of the dense ranking on bench-dev and bench-dev-drugs, of all pairs and of those that no string match
answers. The last line is JSON: `speedup_lossless` and `cosine_min` (chunks and queries) in fp32, `speedup_int8` and
`ndcg_lost` (the largest share, on either benchmark) in int8, `single_query_speedup` in int8, chunks and queries alike;
and the same figures of every number format by its name.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.open_data import DATA
from encoders.compiled import load_encoder
from encoders.number_format import NumberFormat
from encoders.spec import BUNDLED, resolve
from evaluation.benchmark import Benchmark
from evaluation.benchmarks import read_benchmark
from evaluation.figures import Figures, means
from evaluation.ranking import hits_by_score

THREADS = 2
CHUNKS = 1000
"""Taken evenly; the rate is measured on these, the quality on all."""
SINGLE = 100
"""Queries that are asked one by one in a turn."""
PEER = "sentence-transformers"
FORMATS: tuple[NumberFormat, ...] = get_args(NumberFormat)
Encode = Callable[[Sequence[str]], np.ndarray]


def sides() -> dict[str, tuple[Encode, Encode]]:
    """What encodes passages and queries, by the side's name."""
    model = SentenceTransformer(str(resolve(BUNDLED)), device="cpu")

    def encode(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

    found: dict[str, tuple[Encode, Encode]] = {PEER: (encode, encode)}
    for number_format in FORMATS:
        encoder = load_encoder(BUNDLED, number_format, THREADS)
        found[number_format] = encoder.encode_passages, encoder.encode_queries
    return found


def seconds(encode: Encode, texts: Sequence[str]) -> float:
    """Of one call."""
    begun = time.perf_counter()
    encode(texts)
    return time.perf_counter() - begun


def ndcg(benchmark: Benchmark, passages: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """NDCG@10 of the ranking by cosine."""
    figures = Figures(benchmark)
    figures.add({query: hits_by_score(benchmark, scores) for query, scores in enumerate(queries @ passages.T)})
    found = means(figures.per_query())["multi_patient"]
    return {"overall": found["ndcg@10"], "non-string": found["by_match_type"]["non-string"]["ndcg@10"]}


def speed(encoders: dict[str, tuple[Encode, Encode]], benchmark: Benchmark, turns: int) -> dict[str, dict[str, float]]:
    """Medians of chunks/s, queries/s and milliseconds of a single query, by side."""
    chunks, queries = list(benchmark.chunk_texts), list(benchmark.query_texts)
    chunks = chunks[:: max(1, len(chunks) // CHUNKS)]
    taken: dict[str, list[tuple[float, float, float]]] = {side: [] for side in encoders}
    for turn in range(turns + 1):
        for side, (of_passages, of_queries) in encoders.items():
            of_queries(queries[:SINGLE])  # what ran before still holds a core for a moment
            singles = [seconds(of_queries, [query]) for query in queries[-SINGLE:]]
            found = len(chunks) / seconds(of_passages, chunks), len(queries) / seconds(of_queries, queries)
            if turn:  # the first only warms up
                taken[side].append((*found, 1000 * median(singles)))
                line = "{:.1f} chunks/s, {:.0f} queries/s, {:.2f} ms a query".format(*taken[side][-1])
                print(f"turn {turn}, {side}: {line}", flush=True)
    names = ("chunks_per_s", "queries_per_s", "single_query_ms")
    return {side: dict(zip(names, map(median, zip(*each, strict=True)), strict=True)) for side, each in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    encoders = sides()
    figures: dict[str, dict[str, Any]] = {side: {"cosine_min": 1.0, "ndcg_lost": 0.0} for side in FORMATS}
    benchmarks = {name: read_benchmark(arguments.data / name) for name in ("bench-dev", "bench-dev-drugs")}
    for name, benchmark in benchmarks.items():
        texts = list(benchmark.chunk_texts), list(benchmark.query_texts)
        vectors = {
            side: [encode(each) for encode, each in zip(both, texts, strict=True)] for side, both in encoders.items()
        }
        expected = ndcg(benchmark, *vectors[PEER])
        print(f"{name}, {PEER}: NDCG@10 {expected}", flush=True)
        for side, of in figures.items():
            found = ndcg(benchmark, *vectors[side])
            lost = {pairs: 1 - found[pairs] / expected[pairs] for pairs in expected}
            cosines = [(a * b).sum(1) for a, b in zip(vectors[side], vectors[PEER], strict=True)]
            least = [float(each.min()) for each in cosines]
            print(f"{name}, {side}: NDCG@10 {found}, lost {lost}, cosines of chunks and queries at least {least}")
            of["cosine_min"] = min(of["cosine_min"], *least)
            of["ndcg_lost"] = max(of["ndcg_lost"], *lost.values())
    rates = speed(encoders, benchmarks["bench-dev"], arguments.turns)
    for side, of in figures.items():
        of["speedup"] = rates[side]["chunks_per_s"] / rates[PEER]["chunks_per_s"]
        of["speedup_queries"] = rates[side]["queries_per_s"] / rates[PEER]["queries_per_s"]
        of["single_query_speedup"] = rates[PEER]["single_query_ms"] / rates[side]["single_query_ms"]
        figures[side] = {name: round(each, 6) for name, each in of.items()}
    result = {
        "speedup_lossless": figures["fp32"]["speedup"],
        "cosine_min": figures["fp32"]["cosine_min"],
        "speedup_int8": figures["int8"]["speedup"],
        "ndcg_lost": figures["int8"]["ndcg_lost"],
        "single_query_speedup": figures["int8"]["single_query_speedup"],
        "rates": rates,
        **figures,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
