"""A knowledge graph of the size of BIOS: built, loaded, and matched with by 1, 2 and 4 processes.

    python -m benchmarks.graph_scale [--concepts N] [--data ../shared/data]

Terms are drawn from the words of real terms (DOID, HP, SYMP), one to six words each; concepts, terms and relations
stand in the proportion of BIOS 2022: 4.1M concepts, 7.4M terms, 7.3M relations. Memory is the proportional set size
(PSS) of the matching processes, summed: what they share counts once. The last line is JSON.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.open_data import DATA, open_notes, open_ontologies
from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import CONCEPTS_SCHEMA, IS_A_SCHEMA, RELATIONS_SCHEMA, TERMS_SCHEMA, KnowledgeGraph
from datagen.matching import MatchingSettings, make_matcher

BIOS_2022 = 4_100_000
TERMS_PER_CONCEPT, RELATIONS_PER_CONCEPT = 7.4 / 4.1, 7.3 / 4.1
WORKERS = (1, 2, 4)
SEED = 0


def generated_graph(words: list[str], concepts: int) -> KnowledgeGraph:
    """A random graph in BIOS's proportions; half of its relations are is_a, which lead to smaller ids."""
    draw = np.random.default_rng(SEED)
    vocabulary = np.array(words)
    # Words of real text are far from equally frequent.
    weights = 1 / (1 + np.arange(len(words)))
    weights /= weights.sum()

    def terms(count: int) -> pa.Array:
        lengths = draw.choice(np.arange(1, 7), count, p=[0.06, 0.24, 0.3, 0.2, 0.12, 0.08])
        drawn = vocabulary[draw.choice(len(words), lengths.sum(), p=weights)]
        ends = np.cumsum(lengths)
        return pa.array(" ".join(drawn[end - length : end]) for length, end in zip(lengths, ends, strict=True))

    ids = pa.array(f"CN{i:08}" for i in range(concepts))
    others, relations = int(concepts * (TERMS_PER_CONCEPT - 1)), int(concepts * RELATIONS_PER_CONCEPT)
    is_a = relations // 2
    children = draw.integers(1, concepts, is_a)
    parents = (children * draw.random(is_a)).astype(np.int64)
    heads, tails = draw.integers(0, concepts, (2, relations - is_a))
    constant = pa.array(["exact"] * others)
    return KnowledgeGraph(
        concepts=pa.table([ids, terms(concepts), pa.array([["disease"]] * concepts)], schema=CONCEPTS_SCHEMA),
        terms=pa.table(
            [
                ids.take(pa.array(draw.integers(0, concepts, others))),
                terms(others),
                pa.array(["en"] * others),
                constant,
            ],
            schema=TERMS_SCHEMA,
        ),
        is_a=pa.table([ids.take(pa.array(children)), ids.take(pa.array(parents))], schema=IS_A_SCHEMA),
        relations=pa.table(
            [ids.take(pa.array(heads)), pa.array(["interacts"] * len(heads)), ids.take(pa.array(tails))],
            schema=RELATIONS_SCHEMA,
        ),
    )


def match(folder: Path, notes: list[str], barrier: Barrier, results: Any) -> None:
    """One worker: open, match everything, report load time, throughput and the memory it holds at the end."""
    begun = time.perf_counter()
    graph = BuiltGraph.open(folder)
    graph.concepts_of("fever")
    loaded = time.perf_counter() - begun
    matcher = make_matcher(MatchingSettings(profile="drehr"), graph)
    begun = time.perf_counter()
    matched = sum(len(matcher.find(note)) for note in notes)
    seconds = time.perf_counter() - begun
    barrier.wait()  # all workers hold their memory while it is measured
    pss = psutil.Process().memory_full_info().pss
    barrier.wait()
    results.put((loaded, seconds, pss, matched))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, default=BIOS_2022)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    notes = [row["text"] for row in open_notes(arguments.data)]
    megabytes = sum(len(note.encode()) for note in notes) / 1e6
    real = open_ontologies(arguments.data).terms["term"].to_pylist()
    words = list({word: None for term in real for word in term.lower().split()})
    random.Random(SEED).shuffle(words)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "graph"
        graph = generated_graph(words, arguments.concepts)
        print(f"generated {graph.concepts.num_rows:,} concepts", flush=True)
        begun = time.perf_counter()
        build_graph(graph, folder)
        build_seconds = time.perf_counter() - begun
        build_gb = psutil.Process().memory_info().rss / 1e9
        counts = {
            "terms": len(BuiltGraph.open(folder).terms.trie),
            "relations": graph.is_a.num_rows + graph.relations.num_rows,
        }
        del graph
        print(f"built in {build_seconds:.0f} s", flush=True)
        spawn = multiprocessing.get_context("spawn")
        node_gb: dict[str, float] = {}
        loads, rates = [], []
        for workers in WORKERS:
            barrier, results = spawn.Barrier(workers), spawn.Queue()
            processes = [spawn.Process(target=match, args=(folder, notes, barrier, results)) for _ in range(workers)]
            for process in processes:
                process.start()
            reports = [results.get() for _ in processes]
            for process in processes:
                process.join()
            node_gb[str(workers)] = round(sum(pss for _, _, pss, _ in reports) / 1e9, 3)
            loads += [loaded for loaded, _, _, _ in reports]
            if workers == 1:
                rates = [megabytes / seconds for _, seconds, _, _ in reports]
            print(f"{workers} workers: {node_gb[str(workers)]} GB", flush=True)
        figures = {
            "concepts": arguments.concepts,
            **counts,
            "build_seconds": round(build_seconds, 1),
            "build_gb": round(build_gb, 2),
            "disk_gb": round(sum(file.stat().st_size for file in folder.iterdir()) / 1e9, 3),
            "load_seconds": round(max(loads), 4),
            "node_gb": node_gb,
            "mb_per_second": round(rates[0], 2),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
