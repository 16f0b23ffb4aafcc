"""What synonyms of the graph bring to BM25, by the weight of their words: MRR over all patients on the dev benchmarks.

    python -m benchmarks.query_expansion --graph <built graph> [--data ../shared/data]

`--graph` is the output `built_graph` of `match_entities`. A chunk scores BM25 of the query and, times a weight, BM25 of
all synonyms together, as in a search with `expand`. The last line is JSON: MRR by benchmark and weight.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.open_data import DATA
from datagen.graph.artefact import BuiltGraph
from datagen.synonyms import known_synonyms
from evaluation.benchmark import Benchmark
from evaluation.benchmarks import read_benchmark
from evaluation.retrievers import Bench
from evaluation.retrievers.bm25 import Bm25
from serving.expansion import Synonyms, write_synonyms

WEIGHTS = [0, 0.02, 0.05, 0.1, 0.2, 1]


def mean_reciprocal_rank(benchmark: Benchmark, scores: np.ndarray) -> float:
    """Of scores (queries, chunks); ties go to the earlier chunk."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1
    best: dict[int, int] = {}
    for judgement in benchmark.judgements:
        rank = int(ranks[judgement.query, judgement.document])
        best[judgement.query] = min(rank, best.get(judgement.query, rank))
    return float(np.mean([1 / rank for rank in best.values()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        graph = BuiltGraph.open(arguments.graph / "built")
        known = Synonyms(Path(folder), write_synonyms(known_synonyms(graph), Path(folder)))
        for name in ("bench-dev", "bench-dev-drugs"):
            benchmark = read_benchmark(arguments.data / name)
            bm25 = Bm25(Bench(benchmark, print, lambda *_: None, lambda *_: np.empty(0)), "")
            texts = list(benchmark.query_texts)
            synonyms = [" ".join(each for one in known.expand(text) for each in one.synonyms) for text in texts]
            print(f"{name}: {sum(map(bool, synonyms)):,} of {len(texts):,} queries have synonyms", flush=True)
            own, others = bm25.score_texts(texts), bm25.score_texts(synonyms)
            found[name] = {
                str(weight): round(mean_reciprocal_rank(benchmark, own + weight * others), 4) for weight in WEIGHTS
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
