"""What a training job reads beside its records: a dev score, a teacher, hard negatives."""

import numpy as np
import pytest

from datagen.graph.artefact import BuiltGraph
from datagen.graph.building import build_graph
from datagen.graph.tables import KnowledgeGraph
from encoders.encoder import Encoder
from encoders.kept_vectors import KeptVectors, encode_here
from encoders.training.settings import HardNegativeSettings, TrainingSettings
from evaluation.benchmarks import BenchmarkSettings
from ray_jobs.training_inputs import DevScore, hard_negative_sources, write_teacher
from tests.encoders.conftest import ABOVE, TERMS, TERMS_ABOVE
from tests.evaluation.tiny_benchmark import TINY


class Chosen:
    """Four chunks along four axes, and where the two queries lie among them."""

    def encode_passages(self, texts):
        assert len(texts) == 4
        return np.eye(4, dtype=np.float32)

    def encode_queries(self, texts):
        assert list(texts) == ["acute kidney injury", "aspirin"]
        return np.array([[0.9, 0.1, 0.5, 0.2], [0.3, 0.2, 0.1, 0.0]], np.float32)


def test_the_dev_score_is_that_of_the_ranking_over_all_patients(tmp_path):
    for name, text in TINY.items():
        (tmp_path / name).write_text(text)
    score = DevScore(BenchmarkSettings(path=tmp_path))(Chosen())
    found_late = 1 / np.log2(5)
    assert score["dev"] == pytest.approx(((1 + found_late) / (1 + 1 / np.log2(3)) + found_late) / 2)
    assert score["dev_mrr"] == pytest.approx((1 + 1 / 4) / 2)


def test_a_teachers_vectors_lie_at_the_rows_of_chunks_and_the_ids_of_terms(tiny_encoder, training_data, tmp_path):
    folder = write_teacher(
        str(tiny_encoder), training_data, KeptVectors(tmp_path / "kept", encode_here), tmp_path / "t"
    )
    encoder = Encoder.load(str(tiny_encoder))
    row, term = len(training_data) - 1, training_data.n_terms - 1
    chunks, terms = np.load(folder / "chunks.npy"), np.load(folder / "terms.npy")
    assert (len(chunks), len(terms)) == (len(training_data), training_data.n_terms)
    np.testing.assert_allclose(chunks[row], encoder.encode_passages(training_data.chunk_texts([row]))[0], atol=1e-5)
    np.testing.assert_allclose(terms[term], encoder.encode_queries([training_data.term(term)])[0], atol=1e-5)


def test_siblings_are_terms_of_concepts_with_a_parent_in_common(training_data, tmp_path):
    names = {**TERMS, **TERMS_ABOVE}
    build_graph(
        KnowledgeGraph.from_rows(
            concepts=[(concept, of[0], []) for concept, of in names.items()],
            terms=[(concept, name, "en", "exact") for concept, of in names.items() for name in of[1:]],
            is_a=list(ABOVE.items()),
        ),
        tmp_path / "graph",
    )
    settings = TrainingSettings(
        batch_size=6, hard_negatives=HardNegativeSettings(sources=["bm25", "siblings"], depth=3)
    )
    words, siblings = hard_negative_sources(settings, training_data, BuiltGraph.open(tmp_path / "graph"))
    assert (words.kind, siblings.kind) == ("chunks", "terms")
    assert sum(map(len, words.near)) > 0
    concept_of = {name: concept for concept, of in names.items() for name in of}
    beside = {"D1": {"D3"}, "D3": {"D1"}}
    for term, near in enumerate(siblings.near):
        named = {concept_of[training_data.term(other)] for other in near.as_py()}
        assert named == beside.get(concept_of[training_data.term(term)], set())


def test_without_hard_negatives_nothing_is_ranked(training_data):
    assert hard_negative_sources(TrainingSettings(), training_data, None) == []
