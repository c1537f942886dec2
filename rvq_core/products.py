"""The matrix product behind a search for codes, in the way that is fastest on this processor.

On a CPU torch has MKL's (or another BLAS) behind ``torch.mm`` and oneDNN's behind its layers, and what is added to the
product can be added first or be a column more of it. What is fastest differs by processor and by size, by up to a
factor of two, and nothing tells but trying. The codes that are found do not depend on it: near-ties are decided apart.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rvq_core.workspace import workspace

Scores = Callable[[Tensor], Tensor]
"""From tokens [n, C] to scores [n, K]. What it gave last may be overwritten by the next call."""

Way = Callable[[Tensor, Tensor], Scores]
"""From a codebook [K, C] and half the squared lengths of its codes [K] to their scores."""

TRIED = 1 << 18
"""Scores that a try computes: a millisecond or two."""

ROUNDS = 5
"""How often each is tried, after once to warm up; the fastest round counts."""


def scores_by(codebook: Tensor, half_norms: Tensor) -> Scores:
    """The function from tokens to ``half_norms`` [K] - tokens . codes: it orders codes [K, C] as distances do."""
    way = _fastest(*codebook.shape, codebook.dtype, _has_onednn()) if codebook.device.type == "cpu" else added
    return way(codebook, half_norms)


def added(codebook: Tensor, half_norms: Tensor) -> Scores:
    """The half norms first, and the product added to them."""
    transposed = codebook.t()

    def scores(tokens: Tensor) -> Tensor:
        held = workspace("scores", len(tokens), len(codebook), codebook)
        return torch.addmm(half_norms, tokens, transposed, alpha=-1, out=held)

    return scores


def widened(codebook: Tensor, half_norms: Tensor) -> Scores:
    """The half norms as a column more of the codes, 1 of the tokens."""
    codes, dim = codebook.shape
    weights = torch.cat([codebook.neg(), half_norms[:, None]], dim=1).t()

    def scores(tokens: Tensor) -> Tensor:
        wide = workspace("wide", len(tokens), dim + 1, codebook)
        wide[:, :dim] = tokens
        wide[:, dim] = 1
        return torch.mm(wide, weights, out=workspace("scores", len(tokens), codes, codebook))

    return scores


def by_onednn(codebook: Tensor, half_norms: Tensor) -> Scores:
    """The product of oneDNN, which adds the half norms at its end."""
    negative = codebook.neg()
    return lambda tokens: torch.ops.mkldnn._linear_pointwise(tokens, negative, half_norms, "none", [], "")


def _has_onednn() -> bool:
    """Whether torch was built with oneDNN's product, and it is not off."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@functools.cache
def _fastest(codes: int, dim: int, dtype: torch.dtype, onednn: bool) -> Way:
    """The fastest way here, tried once in a process for each size of codebook."""
    ways: list[Way] = [added, widened]
    if onednn and dtype == torch.float32:
        ways.append(by_onednn)
    tokens, codebook = torch.ones(max(1, TRIED // codes), dim, dtype=dtype), torch.ones(codes, dim, dtype=dtype)
    return min(ways, key=lambda way: min(_seconds(way(codebook, codebook[:, 0]), tokens)))


def _seconds(scores: Scores, tokens: Tensor) -> list[float]:
    scores(tokens)
    found: list[float] = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        scores(tokens)
        found.append(time.thread_time() - start)
    return found
