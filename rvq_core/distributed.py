"""torchrun ranks: sums over all of them, and what rank 0 decides. Without a process group each call does nothing."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of ranks; 1 when torch.distributed is not running."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over all ranks, in place."""
    if world_size() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def weighted_by_rank(mean: Tensor, count: Tensor) -> Tensor:
    """A mean over ``count`` [] things of this rank, weighted so that its mean over ranks is that over all things."""
    if world_size() == 1:
        return mean
    total = count.float()
    sum_over_ranks(total)
    return mean * (count * world_size() / total.clamp(min=1))


def place_among_ranks(rows: Tensor) -> tuple[int, int]:
    """Of rows [n, C] that all ranks' together would be [N, C], in the order of ranks: where these begin, and N."""
    if world_size() == 1:
        return 0, rows.shape[0]
    counts = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    counts[dist.get_rank()] = rows.shape[0]
    sum_over_ranks(counts)
    return int(counts[: dist.get_rank()].sum()), int(counts.sum())


def rows_of_all_ranks(rows: Tensor, begin: int, numbers: Tensor) -> Tensor:
    """Rows ``numbers`` [K] -> [K, C] of all ranks' rows together; these [n, C] begin at number ``begin``."""
    if world_size() == 1 or not len(numbers):
        return rows[numbers]
    own = (numbers >= begin) & (numbers < begin + rows.shape[0])
    found = rows.new_zeros((len(numbers), rows.shape[1]))
    found[own] = rows[numbers[own] - begin]
    sum_over_ranks(found)  # one rank has each row, the others add zero
    return found


def take_from_rank_zero(tensor: Tensor) -> Tensor:
    """Overwrite ``tensor`` by rank 0's values, in place, and return it."""
    if world_size() > 1 and tensor.numel():
        dist.broadcast(tensor, src=0)
    return tensor


def draw_on_rank_zero(low: int, high: int) -> int:
    """One integer, uniform in [low, high), drawn by rank 0's torch generator and the same on every rank."""
    device = "cuda" if world_size() > 1 and dist.get_backend() == "nccl" else "cpu"
    return int(take_from_rank_zero(torch.randint(low, high, (), device=device)))
