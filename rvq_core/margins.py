"""How far unseen codes are from winning a latent: the full distance matrix, in chunks, over kept latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.search import CHUNK_SCORES
from rvq_core.stats.geometry import Margins
from rvq_core.stats.sample import Latents, Tokens

MOST_ROWS = 4096
"""Latents in a chunk, however few the codes: differences in float64 are as large as the chunk."""


@torch.inference_mode()
def unseen_margins(
    latents: Latents, tokens: Tokens, codebooks: Sequence[Tensor], seen: Sequence[NDArray[np.bool_]]
) -> list[Margins]:
    """Of each layer the margins of its codes, NaN where they are ``seen`` [K] and where there are no latents.

    ``latents`` [N, C] and their ``tokens`` [N, Q]; ``codebooks`` [K_q, C] on the device that computes.
    """
    found: list[Margins] = []
    residual = torch.from_numpy(np.ascontiguousarray(latents)).to(codebooks[0].device)
    for q, (codebook, known) in enumerate(zip(codebooks, seen, strict=True)):
        found.append(Margins(np.full(len(known), np.nan), np.full(len(known), np.nan)))
        if not len(residual):
            continue
        winners = codebook[torch.from_numpy(tokens[:, q].astype(np.int64)).to(codebook.device)]
        unseen = np.flatnonzero(~known)
        if len(unseen):
            codes = codebook[torch.from_numpy(unseen).to(codebook.device)]
            found[-1].squared[unseen], found[-1].l2[unseen] = _smallest(residual, winners, codes)
        # As the quantizer does it, so that the next layer's residuals are the very ones that it saw.
        residual = residual - winners
    return found


def _smallest(residuals: Tensor, winners: Tensor, codes: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Margins of ``codes`` [U, C] over residuals [N, C] that ``winners`` [N, C] won: squared and L2, [U] each.

    A product finds the nearest latent of each code; differences in float64 then tell its margin, so that chunks
    and threads do not show in the figures.
    """
    exact_codes = codes.double()
    lengths = exact_codes.square().sum(dim=1)
    best = torch.full((2, len(codes)), torch.inf, dtype=torch.float64, device=codes.device)
    rows = max(1, min(MOST_ROWS, CHUNK_SCORES // (2 * len(codes))))
    for start in range(0, len(residuals), rows):
        x = residuals[start : start + rows].double()
        to_winner = (x - winners[start : start + rows].double()).square().sum(dim=1)
        # [U, rows]: the smallest of a row is found several times faster than that of a column.
        to_codes = torch.addmm(x.square().sum(dim=1), exact_codes, x.t(), alpha=-2).add_(lengths[:, None])
        for kind, measure in enumerate((_squared, _l2)):
            nearest = measure(to_codes, to_winner).argmin(dim=1)
            to_code = (x[nearest] - exact_codes).square().sum(dim=1)
            best[kind] = torch.minimum(best[kind], measure(to_code, to_winner[nearest]))
    return best[0].cpu().numpy(), best[1].cpu().numpy()


def _squared(to_code: Tensor, to_winner: Tensor) -> Tensor:
    return to_code - to_winner


def _l2(to_code: Tensor, to_winner: Tensor) -> Tensor:
    return to_code.clamp(min=0).sqrt() - to_winner.sqrt()
