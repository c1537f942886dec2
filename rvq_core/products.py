"""The matrix product behind a search for codes: of two libraries the one that is faster on this processor.

On a CPU torch has MKL's (or another BLAS) behind ``torch.mm`` and oneDNN's behind its layers. Which one is faster
differs by processor, by up to a factor of two either way, and nothing tells but trying. The codes that are found do
not depend on it: near-ties are decided apart.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor

Scores = Callable[[Tensor], Tensor]
"""From tokens [n, C] to scores [n, K]. What it gave last may be overwritten by the next call."""

TRIED = 1 << 18
"""Scores that a try computes: a millisecond or two."""

ROUNDS = 5
"""How often each is tried, after once to warm up; the fastest round counts."""


def scores_by(codebook: Tensor, half_norms: Tensor) -> Scores:
    """The function from tokens to ``half_norms`` [K] - tokens . codes: it orders codes [K, C] as distances do."""
    by = _by_onednn if _has_onednn(codebook) and _onednn_wins(*codebook.shape) else _by_blas
    return by(codebook, half_norms)


def _by_onednn(codebook: Tensor, half_norms: Tensor) -> Scores:
    negative = codebook.neg()
    return lambda tokens: torch.ops.mkldnn._linear_pointwise(tokens, negative, half_norms, "none", [], "")


def _by_blas(codebook: Tensor, half_norms: Tensor) -> Scores:
    transposed, held = codebook.t(), codebook.new_empty(0)

    def scores(tokens: Tensor) -> Tensor:
        nonlocal held
        # Memory that was just freed goes back to the system and has to be fetched again, page by page.
        if len(held) < len(tokens):
            held = tokens.new_empty((len(tokens), len(codebook)))
        return torch.addmm(half_norms, tokens, transposed, alpha=-1, out=held[: len(tokens)])

    return scores


def _has_onednn(codebook: Tensor) -> bool:
    """Whether oneDNN can take the product: in float32 on a CPU, where torch was built with it and it is not off."""
    return (
        codebook.device.type == "cpu"
        and codebook.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


@functools.cache
def _onednn_wins(codes: int, dim: int) -> bool:
    """Whether oneDNN is the faster one here, tried once in a process for each size of codebook."""
    x, codebook, half_norms = torch.ones(max(1, TRIED // codes), dim), torch.ones(codes, dim), torch.ones(codes)
    fastest = [min(_seconds(by(codebook, half_norms), x)) for by in (_by_onednn, _by_blas)]
    return fastest[0] < fastest[1]


def _seconds(scores: Scores, tokens: Tensor) -> list[float]:
    scores(tokens)
    found: list[float] = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        scores(tokens)
        found.append(time.thread_time() - start)
    return found
