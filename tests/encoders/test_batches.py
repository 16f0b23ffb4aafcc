import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encoders.batches import make_batch, steps_per_epoch
from tests.encoders.conftest import TERMS

CONCEPT_OF = {term: concept for concept, terms in TERMS.items() for term in terms}


def names(data, batch):
    """Term names of a batch's columns, in order."""
    by_tokens = {
        tuple(data.term_tokens(i)): data.term(i)
        for i in range(max(max(data.chunk_terms(row)) for row in range(len(data))) + 1)
    }
    return [by_tokens[tuple(tokens)] for tokens in batch.term_tokens]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(step=st.integers(0, 50), seed=st.integers(0, 5), num_pos=st.integers(1, 6))
def test_no_term_true_of_a_chunk_is_its_negative(training_data, records, step, seed, num_pos):
    held = {}
    for line in (records / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        held[record["idx"]] = set(record["true_concepts"])
    batch = make_batch(training_data, step, batch_size=6, num_pos=num_pos, seed=seed)
    columns = names(training_data, batch)
    for row, idx in enumerate(batch.idx):
        for column, term in enumerate(columns):
            assert batch.negatives[row, column] == (CONCEPT_OF[term] not in held[idx])
            assert not (batch.positives[row, column] and batch.negatives[row, column])
    assert (batch.positives.sum(1) == num_pos).all()
    assert (batch.positives.sum(0) > 0).all()


def test_a_batch_is_a_function_of_seed_and_step(training_data):
    def batch(**change):
        return make_batch(training_data, **{"step": 3, "batch_size": 6, "num_pos": 3, "seed": 1, **change})

    first, again = batch(), batch()
    assert first.idx == again.idx
    np.testing.assert_array_equal(first.positives, again.positives)
    assert batch(seed=2).idx != first.idx
    assert batch(step=4).idx != first.idx


def test_an_epoch_holds_every_record_once_and_the_next_has_another_order(training_data):
    def epoch(first):
        return [
            idx
            for step in range(first, first + 4)
            for idx in make_batch(training_data, step, batch_size=6, num_pos=1, seed=0).idx
        ]

    assert len(set(epoch(0))) == len(epoch(0)) == 24
    assert sorted(epoch(0)) == sorted(epoch(4))
    assert epoch(0) != epoch(4)


def test_too_few_records_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="5 training records do not fill one batch of batch_size=6"):
        steps_per_epoch(5, 6)
