"""Exact nearest-code search: which row of a codebook is closest (L2) to each token.

One matrix product per chunk gives ``|c|^2 / 2 - x.c``, which orders the codes of a token as their distances do. Float32
rounding can swap codes that lie almost equally far, so tokens whose two best scores are closer than the rounding
bound are decided again from float64 differences. Equal distances go to the lowest index.

On a CPU the chunks are small enough to be still in its cache when the best score is looked for, the product is
oneDNN's (on some processors several times as fast as that behind ``torch.mm``) and the argmin is numpy's, which uses
vector instructions where torch's does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

CHUNK_SCORES = 1 << 22
"""Scores held at once (tokens x codes): 16 MB of float32, so the search stays flat in memory."""

CACHED_SCORES = 1 << 19
"""The same on a CPU: 2 MB, about what its cache holds."""

_FLOAT32, _TF32, _BFLOAT16 = 2.0**-24, 2.0**-11, 2.0**-8
"""Unit roundoffs."""

_MAX_PAIRS_PER_TOKEN = 64


@torch.no_grad()
def nearest_codes(tokens: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each token.

    ``tokens`` [N, C] and ``codebook`` [K, C], float32 or float64, of a size whose squares are finite -> [N] int64. The
    lowest index wins a tie. Nothing is written to.
    """
    index = torch.zeros((tokens.shape[0], 1), dtype=torch.int64, device=tokens.device)
    if codebook.shape[0] == 1:
        return index.squeeze(1)
    half_norms = codebook.square().sum(dim=1).mul_(0.5)
    score = _scores_by(codebook, half_norms)
    margins = _margins(tokens, codebook, half_norms)
    best, second = (tokens.new_empty(tokens.shape[0], n) for n in (1, 1))
    rows = _rows_at_once(codebook, tokens.device)
    for start in range(0, tokens.shape[0], rows):
        chunk = slice(start, start + rows)
        scores = score(tokens[chunk])
        _argmin(scores, out=index[chunk])
        torch.gather(scores, 1, index[chunk], out=best[chunk])
        scores.scatter_(1, index[chunk], torch.inf)
        torch.amin(scores, 1, keepdim=True, out=second[chunk])
    near = (second <= best + margins).squeeze(1).nonzero().squeeze(1)
    for chunk in near.split(rows):
        index[chunk, 0] = _decide_near_ties(tokens[chunk], codebook, score(tokens[chunk]), margins[chunk])
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


def _scores_by(codebook: Tensor, half_norms: Tensor) -> Callable[[Tensor], Tensor]:
    """The function from tokens [n, C] to scores [n, K]."""
    if _has_onednn(codebook):
        negative = codebook.neg()
        return lambda tokens: torch.ops.mkldnn._linear_pointwise(tokens, negative, half_norms, "none", [], "")
    transposed = codebook.t()
    return lambda tokens: torch.addmm(half_norms, tokens, transposed, alpha=-1)


def _has_onednn(codebook: Tensor) -> bool:
    """Whether oneDNN can take the product: in float32 on a CPU, where torch was built with it and it is not off."""
    return (
        codebook.device.type == "cpu"
        and codebook.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _argmin(scores: Tensor, out: Tensor) -> None:
    """Lowest index of the smallest score of each row [n, K], written to ``out`` [n, 1]."""
    if scores.device.type == "cpu":
        scores.numpy().argmin(axis=1, out=out.numpy()[:, 0])
    else:
        torch.argmin(scores, 1, keepdim=True, out=out)


def _margins(tokens: Tensor, codebook: Tensor, half_norms: Tensor) -> Tensor:
    """By how much two scores of a token may be in the wrong order: twice the bound on the error of one, [N, 1].

    A float32 sum of C products errs by at most gamma_C = C u / (1 - C u) times the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), whatever the order of summation. Products below the smallest
    normal number lose up to that much each. Where matrix products may round their factors first, that adds 2 u + u^2.
    """
    terms = codebook.shape[1] + 2
    gamma = terms * _FLOAT32 / (1 - terms * _FLOAT32)
    factors = _roundoff_of_factors()
    largest = half_norms.max()
    underflow = terms * torch.finfo(torch.float32).tiny
    by_norm = (gamma + factors * (2 + factors)) * (2 * largest).sqrt()
    return 2 * (by_norm * tokens.norm(dim=1, keepdim=True) + (gamma * largest + underflow))


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


def _decide_near_ties(tokens: Tensor, codebook: Tensor, scores: Tensor, margins: Tensor) -> Tensor:
    """The nearest code of tokens [n, C] with near-ties, from float64 distances of all codes within the margin."""
    candidates = scores <= scores.amin(dim=1, keepdim=True) + margins
    return _decide_in_float64(tokens, codebook, candidates)


def _decide_in_float64(tokens: Tensor, codebook: Tensor, candidates: Tensor) -> Tensor:
    """The nearest of each token's candidate codes [n, K] (bool), the lowest index among equals."""
    if int(candidates.sum()) > _MAX_PAIRS_PER_TOKEN * tokens.shape[0]:
        distinct, first = _distinct_rows(codebook)
        if distinct.shape[0] < codebook.shape[0]:
            return first[nearest_codes(tokens, distinct)]
    out = torch.empty(tokens.shape[0], dtype=torch.int64, device=tokens.device)
    rows = max(1, CHUNK_SCORES // (codebook.shape[0] * codebook.shape[1]))
    for start in range(0, tokens.shape[0], rows):
        mask = candidates[start : start + rows]
        row, code = mask.nonzero(as_tuple=True)
        pairs = tokens[start : start + rows][row].double() - codebook[code].double()
        distances = torch.full(mask.shape, torch.inf, dtype=torch.float64, device=tokens.device)
        distances[row, code] = pairs.square_().sum(dim=1)
        out[start : start + rows] = distances.argmin(dim=1)
    return out


def _distinct_rows(codebook: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of a codebook in order of first appearance, and the index where each first stands."""
    _, inverse = torch.unique(codebook, dim=0, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1,), codebook.shape[0], dtype=torch.int64, device=codebook.device)
    first.scatter_reduce_(0, inverse, torch.arange(codebook.shape[0], device=codebook.device), "amin")
    first = first.sort().values
    return codebook[first], first
