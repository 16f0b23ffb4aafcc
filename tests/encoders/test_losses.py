import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.losses import ALPHA, BETA, MARGIN, THRESHOLD, both_ways, multi_similarity


def straightforward(scores, positives, negatives):
    """Wang et al. 2019, equations 11, 12 and 15, an anchor at a time."""
    losses = []
    for s, drawn, negative in zip(scores, positives, negatives, strict=True):
        pos = [(x, n) for x, n in zip(s, drawn, strict=True) if n > 0]
        neg = [x for x, is_negative in zip(s, negative, strict=True) if is_negative]
        if not pos:
            continue
        kept_pos = [(x, n) for x, n in pos if neg and x - MARGIN < max(neg)]
        kept_neg = [x for x in neg if x + MARGIN > min(x for x, _ in pos)]
        pull = math.log(1 + sum(n * math.exp(-ALPHA * (x - THRESHOLD)) for x, n in kept_pos)) / ALPHA
        push = math.log(1 + sum(math.exp(BETA * (x - THRESHOLD)) for x in kept_neg)) / BETA
        losses.append(pull + push)
    return sum(losses) / len(losses)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 9))
def test_equals_the_published_formula_anchor_by_anchor(seed, anchors, candidates):
    torch.manual_seed(seed)
    scores = torch.rand(anchors, candidates, dtype=torch.float64) * 2 - 1
    positives = torch.randint(0, 3, (anchors, candidates)).double()
    positives[0, 0] = 1
    negatives = (torch.rand(anchors, candidates) < 0.5) & (positives == 0)
    expected = straightforward(scores.tolist(), positives.tolist(), negatives.tolist())
    assert multi_similarity(scores, positives, negatives).item() == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 10_000))
def test_what_is_neither_positive_nor_negative_never_enters_the_loss(seed):
    torch.manual_seed(seed)
    scores = torch.rand(4, 6, requires_grad=True)
    positives = torch.zeros(4, 6)
    positives[:, 0] = 1
    negatives = torch.rand(4, 6) < 0.5
    negatives[:, 0] = False
    both_ways(scores, positives, negatives).backward()
    masked = (positives == 0) & ~negatives
    assert (scores.grad[masked] == 0).all()


def test_a_term_drawn_twice_weighs_as_two_copies():
    scores = torch.tensor([[0.2, 0.6]])
    negatives = torch.tensor([[False, True]])
    doubled = multi_similarity(
        torch.tensor([[0.2, 0.2, 0.6]]), torch.tensor([[1.0, 1, 0]]), torch.tensor([[False, False, True]])
    )
    assert multi_similarity(scores, torch.tensor([[2.0, 0]]), negatives).item() == pytest.approx(doubled.item())


def test_pulling_the_positive_closer_lowers_the_loss():
    positives, negatives = torch.tensor([[1.0, 0]]), torch.tensor([[False, True]])
    far = multi_similarity(torch.tensor([[0.1, 0.5]]), positives, negatives)
    near = multi_similarity(torch.tensor([[0.4, 0.5]]), positives, negatives)
    assert near < far
