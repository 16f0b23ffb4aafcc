"""The loss of a batch's vectors: tiles of anchors at a time, each worker its share of them."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from encoders.losses import LOSSES
from encoders.losses.distillation import divergence
from encoders.training.pairs import Pairs
from encoders.training.settings import TrainingSettings
from encoders.training.workers import Workers

TILE = 1 << 22
"""Scores at once: 16 MB in fp32, and some ten times that for what is computed from them."""


class Side(NamedTuple):
    """Vectors of one side, float (n, d); the teacher's beside them where there is one."""

    vectors: torch.Tensor
    taught: torch.Tensor | None


class Objective:
    """A loss by name, and distillation from a teacher's vectors."""

    def __init__(self, settings: TrainingSettings) -> None:
        self._loss = LOSSES[settings.loss]()
        self._weight = settings.distillation.weight if settings.distillation else 0.0

    def __call__(self, chunks: Side, terms: Side, pairs: Pairs, workers: Workers) -> torch.Tensor:
        """The loss of the whole batch, the same on every worker.

        Its gradient on a worker is that of the worker's share of the anchors: the sum over workers is the whole.
        """
        forward = self._one_way(chunks, terms, pairs, workers)
        if not self._loss.both_ways:
            return forward
        return (forward + self._one_way(terms, chunks, pairs.transposed(), workers)) / 2

    def _one_way(self, anchors: Side, candidates: Side, pairs: Pairs, workers: Workers) -> torch.Tensor:
        n = len(anchors.vectors)
        share = workers.share(n)
        parts = [self._tile(anchors, candidates, pairs, tile) for tile in _tiles(share, len(candidates.vectors))]
        statistics = workers.gather_rows(torch.cat(parts) if parts else None, share, n, anchors.vectors)
        total = self._loss.total(statistics[:, :-1])
        return total + self._weight * statistics[:, -1].mean() if self._weight else total

    def _tile(self, anchors: Side, candidates: Side, pairs: Pairs, tile: slice) -> torch.Tensor:
        """The loss's statistics and the divergence from the teacher, float (anchors, statistics + 1)."""

        def statistics(own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            scores = own @ others.T
            positives, negatives = (torch.from_numpy(each).to(scores.device) for each in pairs.tile(tile))
            away = scores.new_zeros(len(scores))
            if self._weight:
                assert anchors.taught is not None
                assert candidates.taught is not None
                away = divergence(scores, anchors.taught[tile] @ candidates.taught.T)
            return torch.cat([self._loss.statistics(scores, positives, negatives), away[:, None]], dim=1)

        # Scores and masks of a tile are made again for its gradient, so that those of one tile at a time are held.
        return checkpoint(statistics, anchors.vectors[tile], candidates.vectors, use_reentrant=False)


def _tiles(rows: slice, candidates: int) -> Iterator[slice]:
    height = max(1, TILE // candidates)
    for start in range(rows.start, rows.stop, height):
        yield slice(start, min(start + height, rows.stop))
