import json

import numpy as np
import pyarrow as pa
import pytest

from encoders.encoder import Encoder
from encoders.training.batches import make_batch
from encoders.training.data import IDS, TrainingData
from encoders.training.hard_negatives import HardNegatives, Source, by_encoder, by_words, mine, pool_of
from encoders.training.model import spread
from encoders.training.settings import HardNegativeSettings, TrainingSettings
from encoders.training.shared_encoding import SharedEncoding
from encoders.training.tables import stage_records, write_tables
from encoders.training.workers import Workers


def true_rows(data, term):
    concepts = set(data.term_concepts(term).tolist())
    return {
        row
        for row in range(len(data))
        if term in data.chunk_terms(row) or concepts & set(data.chunk_concepts(row).tolist())
    }


@pytest.fixture(params=["words", "encoder"])
def scores(request, training_data, tiny_encoder):
    pool = np.arange(len(training_data))
    if request.param == "words":
        return by_words(training_data, pool)
    model = spread(Encoder.load(str(tiny_encoder)), TrainingSettings(), Workers())
    return by_encoder(SharedEncoding(model, training_data, TrainingSettings(), Workers()), pool)


def test_mined_chunks_rank_high_and_are_not_known_to_be_true(training_data, scores):
    pool = np.arange(len(training_data))
    terms = np.arange(1, training_data.n_terms)
    source = mine(training_data, terms, pool, scores, depth=4)
    assert len(source.near) == training_data.n_terms
    assert not len(source.near[0]), "nobody asked for it"
    assert sum(map(len, source.near)) > 0
    for term in terms:
        mined = source.near[term].as_py()
        true = true_rows(training_data, term)
        assert not set(mined) & true
        of_term = scores(np.array([term]))[0]
        others = sorted((of_term[row] for row in pool if row not in true and of_term[row] > 0), reverse=True)
        assert sorted(of_term[mined], reverse=True) == pytest.approx(others[:4])


def test_a_pool_is_drawn_once_from_many_chunks(training_data):
    settings = HardNegativeSettings(sources=["bm25"], pool=5)
    pool = pool_of(training_data, settings, seed=1)
    assert len(set(pool.tolist())) == 5
    assert pool.tolist() == pool_of(training_data, settings, seed=1).tolist()
    assert pool.tolist() != pool_of(training_data, settings, seed=2).tolist()


def test_hard_negatives_join_the_batch_and_positives_stay_as_they_were(training_data):
    hard = HardNegativeSettings(sources=["bm25", "siblings"])
    settings = TrainingSettings(batch_size=6, num_pos=1, hard_negatives=hard)
    n = training_data.n_terms
    first = make_batch(training_data, 0, settings)
    outside = int(np.setdiff1d(np.arange(len(training_data)), first.rows)[0])
    chunks = Source("chunks", pa.array([[outside]] * n, type=IDS))
    terms = Source("terms", pa.array([[(term + 1) % n] for term in range(n)], type=IDS))
    batch = make_batch(training_data, 0, settings, HardNegatives([chunks, terms]))
    assert batch.idx == first.idx
    assert batch.rows.tolist() == [*first.rows.tolist(), outside]
    assert set(batch.terms.tolist()) > set(first.terms.tolist())
    positives, negatives = batch.pairs.tile(slice(0, len(batch.rows)))
    kept = np.isin(batch.terms, first.terms)
    np.testing.assert_array_equal(positives[:6, kept], first.pairs.tile(slice(0, 6))[0])
    assert not positives[6:].any()
    assert not positives[:, ~kept].any()
    for row, chunk in enumerate(batch.rows):
        for column, term in enumerate(batch.terms):
            assert negatives[row, column] == (chunk not in true_rows(training_data, term))


def test_terms_without_anything_near_add_nothing(training_data):
    settings = TrainingSettings(batch_size=6, num_pos=3, hard_negatives=HardNegativeSettings(sources=["bm25"]))
    nothing = HardNegatives([Source("chunks", pa.array([[]] * training_data.n_terms, type=IDS))])
    with_, without = (make_batch(training_data, 0, settings, hard) for hard in (nothing, None))
    assert with_.rows.tolist() == without.rows.tolist()


def test_chunks_that_hold_a_phrase_in_their_text_are_not_mined_for_it(tmp_path, tiny_encoder):
    texts = [
        "swollen left knee",
        "left knee again",
        "left hip",
        *(f"nothing {letter}" for letter in "abcdefghijklmnopqrstuvwxyzäöü"),
    ]
    lines = [json.dumps({"idx": f"{i:02}", "text": text, "entities": ["gout"]}) for i, text in enumerate(texts)]
    settings = TrainingSettings(phrases=20)
    write_tables(stage_records(lines, [""] * len(lines), str(tiny_encoder), 32), str(tiny_encoder), settings, tmp_path)
    data, pool = TrainingData(tmp_path), np.arange(len(texts))
    phrase = data.terms().index("left knee")
    source = mine(data, np.array([phrase]), pool, by_words(data, pool), depth=3)
    assert [data.idx(row) for row in source.near[phrase].as_py()] == ["02"]
