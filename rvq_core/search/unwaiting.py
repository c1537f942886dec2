"""The search for nearest codes on a device that computes while this program goes on: it is never waited for.

How many tokens have to be decided in float64, and between how many codes, is only known there. So room is made for more
than there usually are, and a flag, to be looked at when all is done, tells whether it was enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rvq_core.search.by_torch import TorchSearch

SHARE = 8
"""One of so many tokens may have to be decided in float64."""

LEAST = 64
"""And of few tokens so many."""

CODES = 8
"""Between so many codes."""


class UnwaitingSearch:
    """The codebook of a ``TorchSearch``, searched without waiting.

    ``unsure`` [] bool: whether there was a token too many, or one with too many codes, so that what was found may not
    be the nearest.
    """

    def __init__(self, search: TorchSearch) -> None:
        self._search = search
        self.unsure = torch.zeros((), dtype=torch.bool, device=search.codebook.device)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens [N, C] and their lengths [N, 1] -> indices [N] int64 of their nearest codes, the first of equals."""
        tokens = tokens.to(self._search.codebook.dtype)
        with torch.autocast(tokens.device.type, enabled=False):
            rows = self._search.rows_at_once
            parts = zip(tokens.split(rows), lengths.split(rows), strict=True)
            return torch.cat([self._nearest(*part) for part in parts])

    def _nearest(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The same for some of them."""
        scores = self._search.scores(tokens)
        best, index = scores.min(dim=1, keepdim=True)
        scores.scatter_(1, index, torch.inf)
        limits = best + self._search.margins(lengths, best)
        room = min(len(tokens), max(LEAST, len(tokens) // SHARE))
        gaps, rows = (scores.amin(dim=1) - limits.squeeze(1)).topk(room, largest=False)
        near = gaps <= 0
        if room < len(tokens):
            self.unsure |= near.all()
        scores = scores[rows].scatter_(1, index[rows], best[rows])
        decided, unsure = self._decided(tokens[rows], scores, limits[rows])
        self.unsure |= (unsure & near).any()
        index = index.squeeze(1)
        return index.scatter(0, rows, torch.where(near, decided, index[rows]))

    def _decided(self, tokens: Tensor, scores: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Of the codes up to a limit [m, 1] the nearest in float64 [m], and whether there are too many of them [m]."""
        codebook = self._search.codebook
        few, codes = scores.topk(min(CODES, len(codebook)), dim=1, largest=False)
        squared = (tokens[:, None].double() - codebook[codes].double()).square().sum(dim=2)
        squared.masked_fill_(few > limits, torch.inf)
        first = codes.masked_fill(squared > squared.amin(dim=1, keepdim=True), len(codebook)).amin(dim=1)
        return first, (few <= limits).all(dim=1) & (len(codebook) > CODES)
