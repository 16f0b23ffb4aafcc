import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from encoders.training.batches import make_batch, steps_per_epoch, terms_of_steps
from encoders.training.settings import TrainingSettings
from tests.encoders.conftest import TERMS, TERMS_ABOVE

CONCEPT_OF = {term: concept for concept, terms in {**TERMS, **TERMS_ABOVE}.items() for term in terms}
SETTINGS = TrainingSettings(batch_size=6, num_pos=3, seed=1)


def batch_of(data, step=3, **change):
    return make_batch(data, step, SETTINGS.model_copy(update=change))


def dense(batch):
    return batch.pairs.tile(slice(0, len(batch.rows)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(step=st.integers(0, 50), seed=st.integers(0, 5), num_pos=st.integers(1, 6))
def test_no_term_true_of_a_chunk_is_its_negative(training_data, records, step, seed, num_pos):
    held = {}
    for line in (records / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        held[record["idx"]] = {*record["true_concepts"], *record["concepts"]}
    batch = batch_of(training_data, step, seed=seed, num_pos=num_pos)
    positives, negatives = dense(batch)
    for row, idx in enumerate(batch.idx):
        for column, term in enumerate(batch.terms):
            assert negatives[row, column] == (CONCEPT_OF[training_data.term(term)] not in held[idx])
            assert not (positives[row, column] and negatives[row, column])
    assert (positives.sum(1) == num_pos).all()
    assert (positives.sum(0) > 0).all()


@pytest.mark.parametrize("steps", [range(2, 4), range(15, 16)])
def test_the_terms_of_some_steps_are_those_that_their_batches_draw(training_data, steps):
    few = SETTINGS.model_copy(update={"batch_size": 2, "num_pos": 1})
    drawn = {term for step in steps for term in make_batch(training_data, step, few).terms.tolist()}
    assert terms_of_steps(training_data, steps, few).tolist() == sorted(drawn)
    assert len(drawn) < training_data.n_terms


def test_the_terms_of_an_epoch_of_steps_are_all_there_are(training_data):
    assert len(terms_of_steps(training_data, range(3, 7), SETTINGS)) == training_data.n_terms


def test_without_the_mask_every_term_not_drawn_for_a_chunk_is_its_negative(training_data):
    positives, negatives = dense(batch_of(training_data, false_negative_mask=False))
    np.testing.assert_array_equal(negatives, positives == 0)


def test_the_published_loss_counts_the_copies_that_other_chunks_drew(training_data):
    batch = batch_of(training_data, loss="multi_similarity_as_published", false_negative_mask=False)
    positives, negatives = dense(batch)
    np.testing.assert_array_equal(negatives, positives.sum(0) - positives)
    assert ((positives > 0) & (negatives > 0)).any(), "a term that two chunks drew is a positive and a negative"


def test_terms_are_drawn_as_often_as_their_provenance_weighs(training_data):
    # The first name of a concept is matched, the others are synonyms.
    matched = {names[0] for names in TERMS.values()}
    counts = {True: 0.0, False: 0.0}
    for step in range(40):
        batch = batch_of(training_data, step, provenance_weights={"synonym": 0.25}, num_pos=6)
        positives, negatives = dense(batch)
        assert (positives.sum(1) == 6).all()
        assert not (positives * negatives).any()
        listed = [len(training_data.chunk_terms(row)) for row in batch.rows]
        for column, term in enumerate(batch.terms):
            both = positives[[n == 4 for n in listed], column].sum()  # two concepts, two names each
            counts[training_data.term(int(term)) in matched] += both
    assert counts[False] / counts[True] == pytest.approx(0.25, rel=0.2)


def test_a_provenance_of_no_weight_is_never_drawn_where_there_is_another(training_data):
    matched = {names[0] for names in TERMS.values()}
    batch = batch_of(training_data, provenance_weights={"synonym": 0, "hypernym": 0})
    assert {training_data.term(int(term)) for term in batch.terms} <= matched
    nothing = batch_of(training_data, provenance_weights=dict.fromkeys(("synonym", "match", "hypernym", "relation"), 0))
    assert (dense(nothing)[0].sum(1) == 3).all()


def test_a_batch_is_a_function_of_seed_and_step(training_data):
    first, again = batch_of(training_data), batch_of(training_data)
    assert first.idx == again.idx
    np.testing.assert_array_equal(dense(first)[0], dense(again)[0])
    assert batch_of(training_data, seed=2).idx != first.idx
    assert batch_of(training_data, step=4).idx != first.idx


def test_an_epoch_holds_every_record_once_and_the_next_has_another_order(training_data):
    def epoch(first):
        return [idx for step in range(first, first + 4) for idx in batch_of(training_data, step).idx]

    assert len(set(epoch(0))) == len(epoch(0)) == 24
    assert sorted(epoch(0)) == sorted(epoch(4))
    assert epoch(0) != epoch(4)


def test_too_few_records_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="5 training records do not fill one batch of batch_size=6"):
        steps_per_epoch(5, 6)


def test_a_provenance_that_no_record_can_have_is_refused():
    with pytest.raises(ValidationError, match=r"provenance_weights\.hyponym"):
        TrainingSettings(provenance_weights={"hyponym": 0.5})
