"""k-means of the tokens of a batch, of all ranks together."""

from __future__ import annotations

import torch
from torch import Tensor

from rvq_core.codebook_options import unit_rows
from rvq_core.distributed import sum_over_ranks
from rvq_core.search import nearest_codes

ROUNDS = 10


@torch.no_grad()
def kmeans(tokens: Tensor, start: Tensor, *, unit: bool = False) -> Tensor:
    """Ten rounds of Lloyd's algorithm on tokens [N, C] of each rank from means ``start`` [K, C] -> [K, C].

    A mean without tokens stays where it is. ``unit``: means are of length 1 (Dhillon and Modha 2001).
    """
    tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    means = start.to(tokens.dtype)
    for _ in range(ROUNDS):
        idx = nearest_codes(tokens, means)
        counts = torch.bincount(idx, minlength=len(means)).to(tokens.dtype)
        sums = torch.zeros_like(means).index_add_(0, idx, tokens)
        sum_over_ranks(counts, sums)
        found = unit_rows(sums) if unit else sums / counts.clamp(min=1)[:, None]
        means = torch.where(counts[:, None] > 0, found, means)
    return means
