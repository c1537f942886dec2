"""The search for nearest codes in torch's functions, on any device and in any precision."""

from __future__ import annotations

import torch
from torch import Tensor

from rvq_core.search.scores import ScoreError, repeats, roundoff_of_factors
from rvq_core.workspace import workspace

CHUNK_SCORES = 1 << 22
"""Scores held at once (tokens x codes): 16 MB of float32, so the search stays flat in memory."""

DEVICE_SCORES = 1 << 26
"""The same on a GPU, which is idle between small pieces: 256 MB."""


class TorchSearch:
    """A codebook [K, C] made ready to be searched any number of times; it must not change meanwhile."""

    @torch.no_grad()
    def __init__(self, codebook: Tensor) -> None:
        # Of half precision the codes are exact in float32 too, sums of their products only there.
        self.codebook = codebook = codebook.to(torch.promote_types(codebook.dtype, torch.float32))
        half_norms = codebook.square().sum(dim=1).mul_(0.5)
        self._largest = half_norms.max()
        self._half_norms = half_norms.masked_fill_(repeats(codebook, half_norms), torch.inf)
        self._error = ScoreError.of(codebook, roundoff_of_factors())
        held = CHUNK_SCORES if codebook.device.type == "cpu" else DEVICE_SCORES
        self.rows_at_once = max(1, held // len(codebook))

    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens [N, C] and their lengths [N, 1] -> indices [N] int64 of their nearest codes, the first of equals."""
        with torch.autocast(tokens.device.type, enabled=False):
            return self._nearest(tokens.to(self.codebook.dtype), lengths)

    def _nearest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        index = torch.zeros((tokens.shape[0], 1), dtype=torch.int64, device=tokens.device)
        if self.codebook.shape[0] == 1:
            return index.squeeze(1)
        best, second = (tokens.new_empty(tokens.shape[0], n) for n in (1, 1))
        rows = self.rows_at_once
        for start in range(0, tokens.shape[0], rows):
            chunk = slice(start, start + rows)
            scores = self.scores(tokens[chunk])
            torch.argmin(scores, 1, keepdim=True, out=index[chunk])
            torch.gather(scores, 1, index[chunk], out=best[chunk])
            scores.scatter_(1, index[chunk], torch.inf)
            torch.amin(scores, 1, keepdim=True, out=second[chunk])
        near = (second <= best + self._error.widest_margin(lengths, self._largest)).squeeze(1).nonzero().squeeze(1)
        margins = self.margins(lengths[near], best[near])
        still = (second[near] <= best[near] + margins).squeeze(1)
        near, margins = near[still], margins[still]
        for chunk, margin in zip(near.split(rows), margins.split(rows), strict=True):
            candidates = self.scores(tokens[chunk])
            candidates = candidates <= candidates.amin(dim=1, keepdim=True) + margin
            index[chunk, 0] = _decide_in_float64(tokens[chunk], self.codebook, candidates)
        return index.squeeze(1)

    def margins(self, lengths: Tensor, best: Tensor) -> Tensor:
        """By how much a score may lie above the ``best`` of tokens [n, 1] and be the nearest code's; see ``scores``."""
        return self._error.margins(lengths, best, self._largest)

    def scores(self, tokens: Tensor) -> Tensor:
        """Scores [n, K] of tokens [n, C], overwritten by the next call."""
        held = workspace("scores", len(tokens), len(self.codebook), self.codebook)
        return torch.addmm(self._half_norms, tokens, self.codebook.t(), alpha=-1, out=held)


def _decide_in_float64(tokens: Tensor, codebook: Tensor, candidates: Tensor) -> Tensor:
    """The nearest of each token's candidate codes [n, K] (bool), the lowest index among equals."""
    row, code = candidates.nonzero(as_tuple=True)
    pairs = max(1, CHUNK_SCORES // codebook.shape[1])
    parts = zip(row.split(pairs), code.split(pairs), strict=True)
    squared = torch.cat([(tokens[r].double() - codebook[c].double()).square_().sum(dim=1) for r, c in parts])
    least = squared.new_full((len(tokens),), torch.inf).scatter_reduce_(0, row, squared, "amin")
    nearest = squared == least[row]
    return row.new_zeros(len(tokens)).scatter_reduce_(0, row[nearest], code[nearest], "amin", include_self=False)
