"""What a training process has to know of the others: its rank, its share of things, sums over all."""

from typing import NamedTuple, TypeVar

import torch
import torch.distributed

T = TypeVar("T")


class Workers(NamedTuple):
    """The process group as one of its ranks sees it; one process is a group of itself."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Workers":
        """Of torch.distributed where it is initialised."""
        if not torch.distributed.is_initialized():
            return cls()
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())

    def share(self, n: int) -> slice:
        """The rank's run of n things; shares differ by one at most."""
        return slice(n * self.rank // self.world, n * (self.rank + 1) // self.world)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Over all ranks, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def first(self, value: T) -> T:
        """Rank 0's."""
        if self.world == 1:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held)
        return held[0]

    def all(self, value: T) -> list[T]:
        """Of every rank, in their order."""
        if self.world == 1:
            return [value]
        held = [value] * self.world
        torch.distributed.all_gather_object(held, value)
        return held

    def gather_rows(self, own: torch.Tensor, share: slice, n: int) -> torch.Tensor:
        """Rows (n, k) of all ranks; gradients go to the rank's own alone."""
        if self.world == 1:
            return own
        rows = own.new_zeros(n, own.shape[1])
        rows[share] = own.detach()
        rows = self.sum(rows).clone()
        rows[share] = own
        return rows
