import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.losses import LOSSES
from encoders.losses.distillation import divergence
from encoders.losses.multi_similarity import ALPHA, BETA, MARGIN, THRESHOLD

TEMPERATURE = 0.07
SIZES = (st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9))


def loss_of(name, scores, positives, negatives):
    loss = LOSSES[name](TEMPERATURE)
    return loss.total(loss.statistics(scores, positives, negatives))


def some(seed, anchors, candidates):
    """Scores, positives with copies, and disjoint negatives; the first pair is a positive."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(anchors, candidates, dtype=torch.float64, generator=generator) * 2 - 1
    positives = torch.randint(0, 3, (anchors, candidates), generator=generator).double()
    positives[0, 0] = 1
    negatives = (torch.rand(anchors, candidates, generator=generator) < 0.5) & (positives == 0)
    return scores, positives, negatives.double()


def anchors_of(scores, positives, negatives):
    """For each anchor with a positive: scores of its positives, a copy each, and of its negatives."""
    for s, drawn, negative in zip(scores.tolist(), positives.tolist(), negatives.tolist(), strict=True):
        pos = [x for x, n in zip(s, drawn, strict=True) for _ in range(int(n))]
        if pos:
            yield pos, [x for x, n in zip(s, negative, strict=True) if n]


@given(*SIZES)
def test_multi_similarity_is_its_paper_s_formula_anchor_by_anchor(seed, anchors, candidates):
    case, losses = some(seed, anchors, candidates), []
    for pos, neg in anchors_of(*case):
        pull = sum(math.exp(-ALPHA * (x - THRESHOLD)) for x in pos if neg and x - MARGIN < max(neg))
        push = sum(math.exp(BETA * (x - THRESHOLD)) for x in neg if x + MARGIN > min(pos))
        losses.append(math.log(1 + pull) / ALPHA + math.log(1 + push) / BETA)
    assert loss_of("multi_similarity", *case).item() == pytest.approx(sum(losses) / len(losses), rel=1e-9)


@given(*SIZES)
def test_the_published_loss_is_the_reference_s_formula(seed, anchors, candidates):
    """One log over the batch, masks that multiply the similarity."""
    case, pull, push, n = some(seed, anchors, candidates), 0.0, 0.0, 0
    for pos, neg in anchors_of(*case):
        n += 1
        pull += sum(math.exp(-ALPHA * ((x if neg and x - MARGIN < max(neg) else 0) - THRESHOLD)) for x in pos)
        push += sum(math.exp(BETA * ((x if x + MARGIN > min(pos) else 0) - THRESHOLD)) for x in neg)
    expected = (math.log(1 + pull) / ALPHA + math.log(1 + push) / BETA) / n
    assert loss_of("multi_similarity_as_published", *case).item() == pytest.approx(expected, rel=1e-9)


@given(*SIZES)
def test_info_nce_is_each_positive_against_the_negatives(seed, anchors, candidates):
    case, losses = some(seed, anchors, candidates), []
    for pos, neg in anchors_of(*case):
        others = sum(math.exp(x / TEMPERATURE) for x in neg)
        of_anchor = [-math.log(math.exp(x / TEMPERATURE) / (math.exp(x / TEMPERATURE) + others)) for x in pos]
        losses.append(sum(of_anchor) / len(of_anchor))
    assert loss_of("info_nce", *case).item() == pytest.approx(sum(losses) / len(losses), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@given(st.integers(0, 10_000))
def test_what_is_neither_positive_nor_negative_never_enters_a_loss(name, seed):
    scores, positives, negatives = some(seed, 4, 6)
    masked = (positives == 0) & (negatives == 0)
    scores.requires_grad_()
    loss_of(name, scores, positives, negatives).backward()
    assert (scores.grad[masked] == 0).all()
    moved = torch.where(masked, torch.ones_like(scores), scores.detach())
    assert loss_of(name, moved, positives, negatives) == loss_of(name, scores, positives, negatives)


@pytest.mark.parametrize("name", LOSSES)
def test_a_pair_drawn_twice_weighs_as_two_copies(name):
    once = torch.tensor([[0.2, 0.6, 0.1]]), torch.tensor([[2.0, 0, 0]]), torch.tensor([[0, 3.0, 1]])
    copies = [0.2, 0.2, 0.6, 0.6, 0.6, 0.1]
    twice = torch.tensor([copies]), torch.tensor([[1.0, 1, 0, 0, 0, 0]]), torch.tensor([[0, 0, 1.0, 1, 1, 1]])
    assert loss_of(name, *once).item() == pytest.approx(loss_of(name, *twice).item())


@pytest.mark.parametrize("name", LOSSES)
def test_pulling_the_positive_closer_lowers_the_loss(name):
    pairs = torch.tensor([[1.0, 0]]), torch.tensor([[0, 1.0]])
    assert loss_of(name, torch.tensor([[0.4, 0.5]]), *pairs) < loss_of(name, torch.tensor([[0.1, 0.5]]), *pairs)


@pytest.mark.parametrize("name", LOSSES)
def test_an_anchor_without_negatives_has_a_finite_gradient(name):
    scores = torch.tensor([[0.4, 0.5]], requires_grad=True)
    loss_of(name, scores, torch.tensor([[1.0, 0]]), torch.zeros(1, 2)).backward()
    assert scores.grad.isfinite().all()


def test_distillation_is_the_divergence_from_the_teacher():
    student, teacher = torch.tensor([[0.1, 0.2, 0.3]]).double(), torch.tensor([[0.3, 0.2, 0.1]]).double()
    p, q = (torch.softmax(scores[0] / TEMPERATURE, 0) for scores in (teacher, student))
    assert divergence(student, teacher, TEMPERATURE).item() == pytest.approx((p * (p / q).log()).sum().item())
    assert divergence(teacher, teacher, TEMPERATURE).item() == pytest.approx(0)
