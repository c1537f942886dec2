"""Products of tokens with all codes, in the way that is fastest on this processor.

On a CPU torch has MKL (or another BLAS) behind ``torch.mm`` and oneDNN behind its layers. Which is faster differs by
processor and by size, by up to a factor of two, and nothing tells but trying. The codes that are found do not depend on
it: near-ties are decided apart.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rvq_core.workspace import workspace

Products = Callable[[Tensor], Tensor]
"""From tokens [n, C] to their products with the codes [n, K]. What it gave last may be overwritten by the next call."""

TRIED = 1 << 18
"""Products that a try computes: a millisecond or two."""

ROUNDS = 5
"""How often each is tried, after once to warm up; the fastest round counts."""


def products_with(codebook: Tensor) -> Products:
    """The function from tokens to their products with the codes [K, C], float32 on a CPU."""
    return _fastest(*codebook.shape, _has_onednn())(codebook)


def by_blas(codebook: Tensor) -> Products:
    """Those of ``torch.mm``."""
    transposed = codebook.t()

    def products(tokens: Tensor) -> Tensor:
        return torch.mm(tokens, transposed, out=workspace("products", len(tokens), len(codebook), codebook))

    return products


def by_onednn(codebook: Tensor) -> Products:
    """Those of oneDNN."""
    return lambda tokens: torch.ops.mkldnn._linear_pointwise(tokens, codebook, None, "none", [], "")


def _has_onednn() -> bool:
    """Whether torch was built with oneDNN's product, and it is not off."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@functools.cache
def _fastest(codes: int, dim: int, onednn: bool) -> Callable[[Tensor], Products]:
    """The fastest way here, tried once in a process for each size of codebook."""
    ways = [by_blas, by_onednn] if onednn else [by_blas]
    tokens, codebook = torch.ones(max(1, TRIED // codes), dim), torch.ones(codes, dim)
    return min(ways, key=lambda way: min(_seconds(way(codebook), tokens)))


def _seconds(products: Products, tokens: Tensor) -> list[float]:
    products(tokens)
    found: list[float] = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        products(tokens)
        found.append(time.thread_time() - start)
    return found
