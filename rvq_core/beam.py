"""Beam search for residual codes: several partial sums are kept of each token, not only the nearest code's.

Greedy encoding takes in each layer the code nearest to what is left. A code that is a little farther may leave a
residual that the next layers code better; beam search finds some of those.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rvq_core import latents
from rvq_core.quantizer import ResidualVQ
from rvq_core.search import CHUNK_SCORES


class _Beam(NamedTuple):
    """The best b partial sums of n tokens: what they leave [n, b, C] (float64), and their codes so far [n, b, q]."""

    residuals: Tensor
    indices: Tensor


@torch.no_grad()
def beam_codes(quantizer: ResidualVQ, tokens: Tensor, beam: int) -> Tensor:
    """Codes of all layers for tokens [N, C], as the codebooks see them -> indices [N, Q] int64.

    After each layer the ``beam`` partial sums nearest to the token are kept, of all continuations of those kept
    before; distances are in float64. A beam may lose the greedy path on the way, so each token takes the better of
    the two at the end: no token is farther from its sum of codes than with greedy encoding, and beam 1 is greedy,
    index for index. Nothing is written to. Raises ValueError for a beam below 1.
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1, got {beam}")
    greedy = _greedy(quantizer, tokens)
    if beam == 1:
        return greedy
    codebooks = [layer.codebook.double() for layer in quantizer.ema_layers()]
    found = torch.empty_like(greedy)
    rows = max(1, CHUNK_SCORES // (beam * max(len(codebook) for codebook in codebooks)))
    for start in range(0, len(tokens), rows):
        found[start : start + rows] = _search(tokens[start : start + rows].double(), codebooks, beam)
    nearer = distortion(quantizer, tokens, found) < distortion(quantizer, tokens, greedy)
    return torch.where(nearer[:, None], found, greedy)


@torch.no_grad()
def distortion(quantizer: ResidualVQ, tokens: Tensor, indices: Tensor) -> Tensor:
    """Squared distance (float64) of tokens [N, C] from the sums of the codes of ``indices`` [N, Q] -> [N]."""
    total = sum_of_codes(quantizer, indices)
    return (tokens.double() - total.double()).square().sum(dim=1)


@torch.no_grad()
def sum_of_codes(quantizer: ResidualVQ, indices: Tensor) -> Tensor:
    """Indices [N, q <= Q] -> [N, C] in the codebooks' space, added in the quantizer's order; -1 is a zero code."""
    return latents.sum_of_codes(indices, [layer.codebook for layer in quantizer.ema_layers()])


def _greedy(quantizer: ResidualVQ, tokens: Tensor) -> Tensor:
    """The quantizer's own choice, by its own arithmetic."""
    residual = tokens.to(quantizer.codebooks.dtype)
    chosen: list[Tensor] = []
    for layer in quantizer.ema_layers():
        chosen.append(layer.quantize(residual))
        residual = residual - layer.dequantize(chosen[-1])
    return torch.stack(chosen, dim=1)


def _search(tokens: Tensor, codebooks: list[Tensor], width: int) -> Tensor:
    """Indices [n, Q] of the best path of each token [n, C]."""
    beam = _Beam(tokens[:, None], torch.empty((len(tokens), 1, 0), dtype=torch.int64, device=tokens.device))
    for codebook in codebooks:
        beam = _extended(beam, codebook, width)
    # The kept are in order of their distances.
    return beam.indices[:, 0]


def _extended(beam: _Beam, codebook: Tensor, width: int) -> _Beam:
    """Every kept partial sum with every code [K, C], the ``width`` best of them, the best first."""
    codes = len(codebook)
    # |r - c|^2 = [-2 r, |r|^2, 1] [c, 1, |c|^2]: one product, no pass over its result to add the squares.
    left, size = beam.residuals.square().sum(dim=2, keepdim=True), codebook.square().sum(dim=1, keepdim=True)
    rows = torch.cat([beam.residuals * -2, left, torch.ones_like(left)], dim=2)
    scores = rows.flatten(0, 1) @ torch.cat([codebook, torch.ones_like(size), size], dim=1).t()
    scores = scores.view(len(rows), -1)
    best = scores.topk(min(width, scores.shape[1]), dim=1, largest=False).indices
    origin, code = best // codes, best % codes
    residuals = beam.residuals.gather(1, origin[..., None].expand(-1, -1, codebook.shape[1])) - codebook[code]
    earlier = beam.indices.gather(1, origin[..., None].expand(-1, -1, beam.indices.shape[2]))
    return _Beam(residuals, torch.cat([earlier, code[..., None]], dim=2))
