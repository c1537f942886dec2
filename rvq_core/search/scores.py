"""What a score is: half the squared length of a code less its product with a token, ``|c|^2 / 2 - x.c``.

It orders the codes of a token as their distances do. Here is how far from the true one a computed score may be, and
which codes need none.

Shapes: tokens [N, C], their lengths ``norms`` [N, 1], codebook [K, C].
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from rvq_core.workers import is_waited_for

NARROWINGS = 3
"""Each squares what is left of the way from the longest code to the ones that matter."""

_FLOAT32, _TF32, _BFLOAT16 = 2.0**-24, 2.0**-11, 2.0**-8
"""Unit roundoffs."""


class ScoreError(NamedTuple):
    """How far a computed score may be from the true one: a bound for each pair of a token and a code.

    A float32 sum of C products errs by at most gamma_C = C u / (1 - C u) times the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), whatever the order of summation. Products below the smallest
    normal number lose up to that much each. Where matrix products may round their factors first, that adds 2 u + u^2;
    the half squared length of the code may be such a factor, of a product with 1.
    """

    relative: float
    underflow: float

    @classmethod
    def of(cls, codebook: Tensor, factors: float) -> ScoreError:
        """For codes [K, C], of products whose factors are rounded by up to ``factors`` first; see below."""
        terms = codebook.shape[1] + 2
        gamma = terms * _FLOAT32 / (1 - terms * _FLOAT32)
        return cls(gamma + factors * (2 + factors), terms * torch.finfo(torch.float32).tiny)

    def bound(self, norms: Tensor, half_norms: Tensor) -> Tensor:
        """For tokens of length ``norms`` and codes of half squared length ``half_norms``."""
        products = self.relative * norms * (2 * half_norms).sqrt()
        return products.add_(self.relative * half_norms + self.underflow)

    def widest_margin(self, norms: Tensor, largest: Tensor) -> Tensor:
        """The same for the longest of all codes, whose half squared length is ``largest``."""
        return 2 * self.bound(norms, largest)

    def margins(self, norms: Tensor, best: Tensor, largest: Tensor) -> Tensor:
        """By how much a code may seem farther than the ``best`` score of a token, and yet be the nearest.

        A code within the widest margin is no longer than the token and its distance from the code together, which
        narrows the margin, and so on.
        """
        margin = self.widest_margin(norms, largest)
        for _ in range(NARROWINGS):
            squared_distance = (1 + self.relative) * norms.square() + 2 * best + 4 * margin
            longest = norms + squared_distance.clamp_(min=0).sqrt_()
            margin = 2 * self.bound(norms, torch.minimum(longest.square().mul_(0.5), largest))
        return margin


def repeats(codebook: Tensor, half_norms: Tensor) -> Tensor:
    """Which codes [K] (bool) are told to equal an earlier one, and so are never chosen.

    A code is compared with the first one of the same length. Where lengths agree by chance some may not be found,
    which costs time alone.
    """
    lengths, order = half_norms.sort(stable=True)
    again = torch.zeros_like(half_norms, dtype=torch.bool)
    again[1:] = lengths[1:] == lengths[:-1]
    starts = torch.arange(len(order), device=order.device).masked_fill_(again, 0).cummax(dim=0).values
    some = again.nonzero().squeeze(1) if is_waited_for(again.device) else slice(None)
    first, later = order[starts[some]], order[some]
    repeats = torch.zeros_like(again)
    repeats[later] = again[some] & (codebook[first] == codebook[later]).all(dim=1)
    return repeats


def roundoff_of_factors() -> float:
    """By how much torch may round float32 factors of a matrix product, by its settings; 0 where it does not."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Raised where the settings differ by backend.
        return _BFLOAT16
    return max({"highest": 0.0, "high": _TF32}.get(precision, _BFLOAT16), _roundoff_of_onednn())


def _roundoff_of_onednn() -> float:
    """The same for what is set for oneDNN alone: in torch, or in the environment."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)  # from torch 2.9 on
    in_torch = {"none": 0.0, "ieee": 0.0, "tf32": _TF32}.get(getattr(matmul, "fp32_precision", "none"), _BFLOAT16)
    outside = {os.environ.get(f"{name}_DEFAULT_FPMATH_MODE", "").lower() for name in ("ONEDNN", "DNNL")}
    return in_torch if outside <= {"", "strict"} else _BFLOAT16
