"""Exact nearest-code search: which row of a codebook is closest (L2) to each token.

One matrix product per chunk gives ``|c|^2 / 2 - x.c``, which orders the codes of a token as their distances do. Float32
rounding can swap codes that lie almost equally far, so tokens whose two best scores are closer than the rounding
bound are decided again from float64 differences. Equal distances go to the lowest index.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_SCORES = 1 << 22
"""Scores held at once (tokens x codes): 16 MB of float32, so the search stays flat in memory."""

_FLOAT32, _TF32, _BFLOAT16 = 2.0**-24, 2.0**-11, 2.0**-8
"""Unit roundoffs."""

_MAX_PAIRS_PER_TOKEN = 64


def nearest_codes(tokens: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each token.

    ``tokens`` [N, C] and ``codebook`` [K, C], float32 or float64, of a size whose squares are finite -> [N] int64. The
    lowest index wins a tie. Nothing is written to.
    """
    half_norms = codebook.square().sum(dim=1).mul_(0.5)
    transposed = codebook.t()
    tolerance = _score_error(codebook, half_norms)
    out = torch.empty(tokens.shape[0], dtype=torch.int64, device=tokens.device)
    rows = max(1, CHUNK_SCORES // codebook.shape[0])
    for start in range(0, tokens.shape[0], rows):
        chunk = tokens[start : start + rows]
        scores = torch.addmm(half_norms, chunk, transposed, alpha=-1)
        out[start : start + rows] = _first_best(scores, chunk, codebook, tolerance)
    return out


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


def _score_error(codebook: Tensor, half_norms: Tensor) -> tuple[Tensor, Tensor]:
    """Bound on the rounding error of one score, as (factor of the token's norm, constant).

    A float32 sum of C products errs by at most gamma_C = C u / (1 - C u) times the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), whatever the order of summation. Products below the smallest
    normal number lose up to that much each. Where matrix products may round their factors first, that adds 2 u + u^2.
    """
    terms = codebook.shape[1] + 2
    gamma = terms * _FLOAT32 / (1 - terms * _FLOAT32)
    factors = _roundoff_of_factors()
    largest = half_norms.max()
    underflow = terms * torch.finfo(torch.float32).tiny
    return (gamma + factors * (2 + factors)) * (2 * largest).sqrt(), gamma * largest + underflow


def _roundoff_of_factors() -> float:
    """To what float32 factors of a matrix product may be rounded, by torch's settings; 0 where they are not."""
    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Raised where the settings differ by backend.
        return _BFLOAT16
    return {"highest": 0.0, "high": _TF32}.get(precision, _BFLOAT16)


def _first_best(scores: Tensor, tokens: Tensor, codebook: Tensor, tolerance: tuple[Tensor, Tensor]) -> Tensor:
    """Argmin over the codes, with near-ties decided from float64 distances."""
    if codebook.shape[0] == 1:
        return torch.zeros(tokens.shape[0], dtype=torch.int64, device=tokens.device)
    best, index = scores.min(dim=1)
    bound = best + 2 * (tolerance[0] * tokens.norm(dim=1) + tolerance[1])
    scores.scatter_(1, index[:, None], torch.inf)
    rows = (scores.amin(dim=1) <= bound).nonzero().squeeze(1)
    if rows.numel():
        candidates = scores[rows] <= bound[rows, None]
        candidates.scatter_(1, index[rows, None], value=True)
        index[rows] = _decide_in_float64(tokens[rows], codebook, candidates)
    return index


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
