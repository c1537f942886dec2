"""Exact nearest-code search: which row of a codebook is closest (L2) to each token.

One matrix product per chunk gives ``|c|^2 / 2 - x.c``, which orders the codes of a token as their distances do. Float32
rounding can swap codes that lie almost equally far, so tokens whose two best scores are closer than the rounding
bound are decided again from float64 differences. Equal distances go to the lowest index.

On a CPU the chunks are small enough to be still in its cache when the best score is looked for, the product is made in
the fastest way (``products.py``) and the argmin is numpy's, which uses vector instructions where torch's does not.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from rvq_core.latents import lengths_of
from rvq_core.products import scores_by

CHUNK_SCORES = 1 << 22
"""Scores held at once (tokens x codes): 16 MB of float32, so the search stays flat in memory."""

CACHED_SCORES = 1 << 20
"""The same on a CPU: 4 MB, which are still in its caches when the best score is looked for."""

_NARROWINGS = 3
"""Each squares what is left of the way from the longest code to the ones that matter."""

_FLOAT32, _TF32, _BFLOAT16 = 2.0**-24, 2.0**-11, 2.0**-8
"""Unit roundoffs."""


def nearest_codes(tokens: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each token.

    ``tokens`` [N, C] and ``codebook`` [K, C], float32 or float64, of a size whose squares are finite -> [N] int64. The
    lowest index wins a tie. Nothing is written to.
    """
    return CodeSearch(codebook).nearest(tokens, lengths_of(tokens))


class CodeSearch:
    """A codebook [K, C] made ready to be searched any number of times; it must not change meanwhile."""

    @torch.no_grad()
    def __init__(self, codebook: Tensor) -> None:
        self.codebook = codebook
        half_norms = codebook.square().sum(dim=1).mul_(0.5)
        self._largest = half_norms.max()
        half_norms.masked_fill_(_repeats(codebook, half_norms), torch.inf)
        self._score = scores_by(codebook, half_norms)
        self._error = _ScoreError.of(codebook)

    @torch.no_grad()
    def nearest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """As ``nearest_codes``: tokens [N, C] and their lengths [N, 1] -> [N] int64."""
        index = torch.zeros((tokens.shape[0], 1), dtype=torch.int64, device=tokens.device)
        if self.codebook.shape[0] == 1:
            return index.squeeze(1)
        best, second = (tokens.new_empty(tokens.shape[0], n) for n in (1, 1))
        rows = _rows_at_once(self.codebook, tokens.device)
        for start in range(0, tokens.shape[0], rows):
            chunk = slice(start, start + rows)
            scores = self._score(tokens[chunk])
            _argmin(scores, out=index[chunk])
            torch.gather(scores, 1, index[chunk], out=best[chunk])
            scores.scatter_(1, index[chunk], torch.inf)
            torch.amin(scores, 1, keepdim=True, out=second[chunk])
        near = (second <= best + self._error.widest_margin(lengths, self._largest)).squeeze(1).nonzero().squeeze(1)
        margins = self._error.margins(lengths[near], best[near], self._largest)
        still = (second[near] <= best[near] + margins).squeeze(1)
        near, margins = near[still], margins[still]
        for chunk, margin in zip(near.split(rows), margins.split(rows), strict=True):
            candidates = self._score(tokens[chunk])
            candidates = candidates <= candidates.amin(dim=1, keepdim=True) + margin
            index[chunk, 0] = _decide_in_float64(tokens[chunk], self.codebook, candidates)
        return index.squeeze(1)


def gumbel_codes(tokens: Tensor, codebook: Tensor, temperature: float) -> Tensor:
    """A code for each token, drawn with probability proportional to exp(-distance / temperature).

    ``tokens`` [N, C], ``codebook`` [K, C] -> [N] int64; distance is the squared L2 one, as in the published
    implementations. Gumbel-max, from torch's default generator (Jang et al. 2017, eq. 1, without the relaxation).
    """
    half_norms = codebook.square().sum(dim=1).mul_(0.5)
    out = torch.empty(tokens.shape[0], dtype=torch.int64, device=tokens.device)
    rows = max(1, CHUNK_SCORES // codebook.shape[0])
    for start in range(0, tokens.shape[0], rows):
        scores = torch.addmm(half_norms, tokens[start : start + rows], codebook.t(), alpha=-1)
        gumbel = torch.empty_like(scores).exponential_().log_().neg_()
        out[start : start + rows] = scores.mul_(-2.0 / temperature).add_(gumbel).argmax(dim=1)
    return out


def _rows_at_once(codebook: Tensor, device: torch.device) -> int:
    """Tokens whose scores are held at once."""
    scores = min(CHUNK_SCORES, CACHED_SCORES) if device.type == "cpu" else CHUNK_SCORES
    return max(1, scores // codebook.shape[0])


def _argmin(scores: Tensor, out: Tensor) -> None:
    """Lowest index of the smallest score of each row [n, K], written to ``out`` [n, 1]."""
    if scores.device.type == "cpu":
        scores.numpy().argmin(axis=1, out=out.numpy()[:, 0])
    else:
        torch.argmin(scores, 1, keepdim=True, out=out)


class _ScoreError(NamedTuple):
    """How far a computed score may be from the true one: a bound for each pair of a token and a code.

    A float32 sum of C products errs by at most gamma_C = C u / (1 - C u) times the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), whatever the order of summation. Products below the smallest
    normal number lose up to that much each. Where matrix products may round their factors first, that adds 2 u + u^2;
    the half squared length of the code may be such a factor, of a product with 1.
    """

    relative: float
    underflow: float

    @classmethod
    def of(cls, codebook: Tensor) -> _ScoreError:
        """For codes [K, C] and the present settings of torch."""
        terms = codebook.shape[1] + 2
        gamma = terms * _FLOAT32 / (1 - terms * _FLOAT32)
        factors = _roundoff_of_factors()
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
        for _ in range(_NARROWINGS):
            squared_distance = (1 + self.relative) * norms.square() + 2 * best + 4 * margin
            longest = norms + squared_distance.clamp_(min=0).sqrt_()
            margin = 2 * self.bound(norms, torch.minimum(longest.square().mul_(0.5), largest))
        return margin


def _repeats(codebook: Tensor, half_norms: Tensor) -> Tensor:
    """Which codes [K] (bool) are told to equal an earlier one, and so are never chosen.

    A code is compared with the first one of the same length. Where lengths agree by chance some may not be found,
    which costs time alone.
    """
    repeats = torch.zeros_like(half_norms, dtype=torch.bool)
    lengths, order = half_norms.sort(stable=True)
    again = (lengths[1:] == lengths[:-1]).nonzero().squeeze(1) + 1
    if again.numel():
        starts = torch.arange(len(order), device=order.device)
        starts[again] = 0
        first, later = order[starts.cummax(dim=0).values[again]], order[again]
        repeats[later] = (codebook[first] == codebook[later]).all(dim=1)
    return repeats


def _roundoff_of_factors() -> float:
    """To what float32 factors of a matrix product may be rounded, by the settings; 0 where they are not."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Raised where the settings differ by backend.
        return _BFLOAT16
    return max({"highest": 0.0, "high": _TF32}.get(precision, _BFLOAT16), _roundoff_of_onednn())


def _roundoff_of_onednn() -> float:
    """The same for what is set for oneDNN alone: in torch, or in the environment."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)  # from torch 2.9 on
    in_torch = getattr(matmul, "fp32_precision", "none")
    outside = {os.environ.get(f"{name}_DEFAULT_FPMATH_MODE", "").lower() for name in ("ONEDNN", "DNNL")}
    if in_torch in ("none", "ieee") and outside <= {"", "strict"}:
        return 0.0
    return _BFLOAT16


def _decide_in_float64(tokens: Tensor, codebook: Tensor, candidates: Tensor) -> Tensor:
    """The nearest of each token's candidate codes [n, K] (bool), the lowest index among equals."""
    row, code = candidates.nonzero(as_tuple=True)
    pairs = max(1, CHUNK_SCORES // codebook.shape[1])
    parts = zip(row.split(pairs), code.split(pairs), strict=True)
    squared = torch.cat([(tokens[r].double() - codebook[c].double()).square_().sum(dim=1) for r, c in parts])
    least = squared.new_full((len(tokens),), torch.inf).scatter_reduce_(0, row, squared, "amin")
    nearest = squared == least[row]
    return row.new_zeros(len(tokens)).scatter_reduce_(0, row[nearest], code[nearest], "amin", include_self=False)
