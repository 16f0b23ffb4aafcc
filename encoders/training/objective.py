"""The loss of a batch's vectors: tiles of anchors at a time, each worker its share of them."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

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
        self._loss = LOSSES[settings.loss](settings.temperature)
        self._distillation = settings.distillation

    def __call__(self, chunks: Side, terms: Side, pairs: Pairs, workers: Workers) -> torch.Tensor:
        """The loss of the whole batch, the same on every worker.

        Its gradient on a worker is that of the worker's share of the anchors: the sum over workers is the whole.
        """
        forward = self._one_way(chunks, terms, pairs, workers)
        if not self._loss.both_ways:
            return forward
        return (forward + self._one_way(terms, chunks, pairs.transposed(), workers)) / 2

    def _one_way(self, anchors: Side, candidates: Side, pairs: Pairs, workers: Workers) -> torch.Tensor:
        n, columns = len(anchors.vectors), self._loss.n_statistics + 1
        share = workers.share(n)

        def of_tile(own: torch.Tensor, others: torch.Tensor, tile: slice) -> torch.Tensor:
            """The loss's statistics and the divergence from the teacher, float (anchors, columns)."""
            scores = own @ others.T
            positives, negatives = (torch.from_numpy(each).to(scores.device) for each in pairs.tile(tile))
            away = scores.new_zeros(len(scores))
            if self._distillation:
                assert anchors.taught is not None
                assert candidates.taught is not None
                away = divergence(scores, anchors.taught[tile] @ candidates.taught.T, self._distillation.temperature)
            return torch.cat([self._loss.statistics(scores, positives, negatives), away[:, None]], dim=1)

        own = _Tiled.apply(of_tile, share, columns, anchors.vectors, candidates.vectors)
        statistics = workers.gather_rows(own, share, n)
        total = self._loss.total(statistics[:, :-1])
        if self._distillation:
            total = total + self._distillation.weight * statistics[:, -1].mean()
        return total


class _Tiled(torch.autograd.Function):
    """A tile of anchors at a time, made again for its gradient, so that what one tile needs is all that is ever held.

    Nothing is allocated between two tiles that outlives them: the C library would not use their memory again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        of_tile: Callable[[torch.Tensor, torch.Tensor, slice], torch.Tensor],
        share: slice,
        columns: int,
        anchors: torch.Tensor,
        candidates: torch.Tensor,
    ) -> torch.Tensor:
        ctx.of_tile, ctx.share = of_tile, share
        ctx.save_for_backward(anchors, candidates)
        rows = anchors.new_empty(share.stop - share.start, columns)
        for tile, place in _tiles(share, len(candidates)):
            rows[place] = of_tile(anchors[tile], candidates, tile)
        return rows

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, None, None, torch.Tensor, torch.Tensor]:
        anchors, candidates = ctx.saved_tensors
        to_anchors, to_candidates = torch.zeros_like(anchors), torch.zeros_like(candidates)
        for tile, place in _tiles(ctx.share, len(candidates)):
            own, others = anchors[tile].detach().requires_grad_(), candidates.detach().requires_grad_()
            with torch.enable_grad():
                rows = ctx.of_tile(own, others, tile)
            to_anchors[tile], added = torch.autograd.grad(rows, (own, others), gradient[place])
            to_candidates += added
        return None, None, None, to_anchors, to_candidates


def _tiles(share: slice, candidates: int) -> Iterator[tuple[slice, slice]]:
    """Anchors, and their places in the share."""
    height = max(1, TILE // candidates)
    for start in range(share.start, share.stop, height):
        stop = min(start + height, share.stop)
        yield slice(start, stop), slice(start - share.start, stop - share.start)
