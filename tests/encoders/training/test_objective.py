"""The loss of a batch's vectors, against a loop over its anchors and pairs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from encoders.losses.multi_similarity import ALPHA, BETA, MARGIN, THRESHOLD
from encoders.training.objective import Objective, Side
from encoders.training.pairs import Pairs
from encoders.training.settings import DistillationSettings, TrainingSettings
from encoders.training.workers import Workers

CHUNKS, TERMS = 5, 7
LOSSES_BOTH_WAYS = ("info_nce", "multi_similarity")


def settings_of(loss, **change):
    return TrainingSettings(loss=loss, temperature=0.07, **change)


def objective(of, chunks, terms, pairs, taught=(None, None)):
    return Objective(of)(Side(chunks, taught[0]), Side(terms, taught[1]), pairs, Workers())


def some_vectors(generator, n, dimension=4):
    vectors = torch.from_numpy(generator.normal(size=(n, dimension)))
    return torch.nn.functional.normalize(vectors, dim=1).float().requires_grad_()


def some_pairs(generator):
    """How often each pair was drawn, and which are no negatives: those that were drawn, and some that were not."""
    drawn = generator.choice([0, 0, 0, 1, 2], size=(CHUNKS, TERMS))
    drawn[0, 0] = 1
    return drawn, (drawn > 0) | (generator.random((CHUNKS, TERMS)) < 0.4)


def sparse(drawn, excluded):
    return Pairs(csr_array(drawn.astype(np.float32)), csr_array(excluded))


def info_nce(positives, negatives):
    others = sum((torch.exp(x / 0.07) for x in negatives), torch.zeros(()))
    own = [torch.exp(x / 0.07) for x in positives]
    return sum(-torch.log(x / (x + others)) for x in own) / len(own)


def multi_similarity(positives, negatives):
    pull = sum(torch.exp(-ALPHA * (x - THRESHOLD)) for x in positives if negatives and x - MARGIN < max(negatives))
    push = sum(torch.exp(BETA * (x - THRESHOLD)) for x in negatives if x + MARGIN > min(positives))
    return torch.log1p(torch.as_tensor(pull)) / ALPHA + torch.log1p(torch.as_tensor(push)) / BETA


FORMULAS = {"info_nce": info_nce, "multi_similarity": multi_similarity}


def one_way(formula, anchors, candidates, drawn, excluded):
    """In float64."""
    losses = []
    for i, anchor in enumerate(anchors):
        scores = [anchor.double() @ candidate.double() for candidate in candidates]
        positives = [scores[j] for j in range(len(scores)) for _ in range(drawn[i, j])]
        negatives = [scores[j] for j in range(len(scores)) if not excluded[i, j]]
        if positives:
            losses.append(formula(positives, negatives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("loss", LOSSES_BOTH_WAYS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_loss_is_the_mean_of_chunks_among_terms_and_terms_among_chunks(loss, seed):
    generator = np.random.default_rng(seed)
    chunks, terms = some_vectors(generator, CHUNKS), some_vectors(generator, TERMS)
    drawn, excluded = some_pairs(generator)
    ours = objective(settings_of(loss), chunks, terms, sparse(drawn, excluded))
    forward = one_way(FORMULAS[loss], chunks, terms, drawn, excluded)
    backward = one_way(FORMULAS[loss], terms, chunks, drawn.T, excluded.T)
    expected = (forward + backward) / 2
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    for gradient, wanted in zip(*(torch.autograd.grad(of, (chunks, terms)) for of in (ours, expected)), strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES_BOTH_WAYS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_true_but_was_not_drawn_counts_in_neither_direction(loss, seed):
    generator = np.random.default_rng(seed)
    drawn, excluded = some_pairs(generator)
    excluded[0, -1], drawn[0, -1] = True, 0
    # Chunks along the axes: the terms' vectors are the scores, and each can be changed alone.
    chunks = torch.eye(CHUNKS)
    terms = torch.from_numpy(generator.uniform(-1, 1, size=(TERMS, CHUNKS))).float().requires_grad_()
    pairs = sparse(drawn, excluded)
    value = objective(settings_of(loss), chunks, terms, pairs)
    (gradient,) = torch.autograd.grad(value, terms)
    masked = torch.from_numpy(excluded & (drawn == 0)).T
    assert (gradient[masked] == 0).all()
    assert (gradient[~masked] != 0).any()
    with torch.no_grad():
        assert objective(settings_of(loss), chunks, terms.masked_fill(masked, 1.0), pairs) == value


DISTILLATION = DistillationSettings(teacher="x", weight=0.7, temperature=0.2)


def divergences(anchors, candidates, taught_anchors, taught_candidates):
    """The mean over the anchors of what the student's order of the candidates is away from the teacher's."""
    away = []
    for anchor, taught_anchor in zip(anchors, taught_anchors, strict=True):
        q = [np.exp(float(anchor.double() @ each.double()) / DISTILLATION.temperature) for each in candidates]
        p = [
            np.exp(float(taught_anchor.double() @ each.double()) / DISTILLATION.temperature)
            for each in taught_candidates
        ]
        away.append(sum(x / sum(p) * np.log((x / sum(p)) / (y / sum(q))) for x, y in zip(p, q, strict=True)))
    return sum(away) / len(away)


@pytest.mark.parametrize("loss", LOSSES_BOTH_WAYS)
def test_distillation_adds_what_the_order_of_candidates_is_away_from_the_teacher_s_both_ways(loss):
    generator = np.random.default_rng(0)
    chunks, terms = some_vectors(generator, CHUNKS).detach(), some_vectors(generator, TERMS).detach()
    taught = some_vectors(generator, CHUNKS, 3).detach(), some_vectors(generator, TERMS, 3).detach()
    pairs = sparse(*some_pairs(generator))
    alone = objective(settings_of(loss), chunks, terms, pairs)
    together = objective(settings_of(loss, distillation=DISTILLATION), chunks, terms, pairs, taught)
    away = (divergences(chunks, terms, *taught) + divergences(terms, chunks, *reversed(taught))) / 2
    assert away > 0.1
    assert (together - alone).item() == pytest.approx(DISTILLATION.weight * away, rel=1e-4)
