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


def take_from_rank_zero(tensor: Tensor) -> Tensor:
    """Overwrite ``tensor`` by rank 0's values, in place, and return it."""
    if world_size() > 1:
        dist.broadcast(tensor, src=0)
    return tensor


def draw_on_rank_zero(low: int, high: int) -> int:
    """One integer, uniform in [low, high), drawn by rank 0's torch generator and the same on every rank."""
    device = "cuda" if world_size() > 1 and dist.get_backend() == "nccl" else "cpu"
    return int(take_from_rank_zero(torch.randint(low, high, (), device=device)))
