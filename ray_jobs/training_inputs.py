"""What training needs beside tokenised records, from other rooms: a teacher's vectors, hard negatives, a dev score."""

from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from datagen.graph.artefact import BuiltGraph
from datagen.siblings import siblings
from encoders.encoder import Encoder
from encoders.kept_vectors import KeptVectors
from encoders.training.batches import all_steps, terms_of_steps
from encoders.training.data import IDS, TrainingData
from encoders.training.hard_negatives import Source, by_words, mine, pool_of
from encoders.training.settings import TrainingSettings
from evaluation.benchmark import Benchmark
from evaluation.benchmarks import BenchmarkSettings, read_benchmark
from evaluation.figures import Figures, means
from evaluation.ranking import hits_by_score


class DevScore:
    """NDCG@10 of an encoder on a benchmark, which is read when it is first asked for: workers get the settings."""

    def __init__(self, settings: BenchmarkSettings) -> None:
        self._settings = settings

    @cached_property
    def _benchmark(self) -> Benchmark:
        return read_benchmark(self._settings.path, self._settings.layout)

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """`dev`, which decides, and the MRR beside it."""
        benchmark = self._benchmark
        chunks = encoder.encode_passages(benchmark.chunk_texts)
        scores = encoder.encode_queries(benchmark.query_texts) @ chunks.T
        figures = Figures(benchmark)
        figures.add({query: hits_by_score(benchmark, of_query) for query, of_query in enumerate(scores)})
        found = means(figures.per_query())["multi_patient"]
        return {"dev": found["ndcg@10"], "dev_mrr": found["mrr"]}


def write_teacher(teacher: str, data: TrainingData, vectors: KeptVectors, folder: Path) -> Path:
    """A folder with the teacher's vectors of the chunks and terms of the training data."""
    load = partial(Encoder.load, teacher)
    fingerprint = load().fingerprint
    folder.mkdir(exist_ok=True)
    chunks = vectors(teacher, load, fingerprint, data.chunk_texts(np.arange(len(data))))
    terms = vectors(teacher, load, fingerprint, data.terms(), "query")
    for name, of in (("chunks", chunks), ("terms", terms)):
        np.save(folder / f"{name}.npy", of)
    return folder


def hard_negative_sources(settings: TrainingSettings, data: TrainingData, graph: BuiltGraph | None) -> list[Source]:
    """Those that do not change while training; the graph is for siblings."""
    wanted = settings.hard_negatives
    if not wanted:
        return []
    sources = []
    if "bm25" in wanted.sources:
        pool = pool_of(data, wanted, settings.seed)
        terms = terms_of_steps(data, range(all_steps(data, settings)), settings)
        sources.append(mine(data, terms, pool, by_words(data, pool), wanted.depth))
    if "siblings" in wanted.sources and graph:
        sources.append(_sibling_terms(data, graph))
    return sources


def _sibling_terms(data: TrainingData, graph: BuiltGraph) -> Source:
    near = siblings(graph, data.concepts())
    of_term = [data.term_concepts(term).tolist() for term in range(data.n_terms)]
    names: list[list[int]] = [[] for _ in near]
    for term, concepts in enumerate(of_term):
        for concept in concepts:
            names[concept].append(term)
    terms = [
        sorted({name for concept in concepts for other in near[concept] for name in names[other]} - {term})
        for term, concepts in enumerate(of_term)
    ]
    return Source("terms", pa.array(terms, type=IDS))
