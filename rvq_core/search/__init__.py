"""Exact nearest-code search: which row of a codebook is closest (L2) to each token.

A product of each token with each code gives the scores (``scores.py``). Float32 rounding can swap codes that lie almost
equally far, so where two scores are closer than the rounding bound, float64 differences decide. Equal distances go to
the lowest index. Float32 on a CPU is searched by compiled loops (``loops.py``), a tile of products at a time, anything
else by torch's functions (``by_torch.py``), a product of matrices for each chunk of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from rvq_core.latents import lengths_of
from rvq_core.search.by_torch import CHUNK_SCORES, TorchSearch
from rvq_core.search.compiled import CompiledSearch, compiled_loops
from rvq_core.search.unwaiting import UnwaitingSearch

Search = Callable[[Tensor, Tensor], Tensor]
"""From tokens [N, C] and their lengths [N, 1] to the indices [N] of their codes."""


def nearest_codes(tokens: Tensor, codebook: Tensor) -> Tensor:
    """Index of the code nearest to each token.

    ``tokens`` [N, C] and ``codebook`` [K, C], of a size whose squares are finite, those of the longest code not too
    small for the precision either -> [N] int64. The lowest index wins a tie. Nothing is written to.
    """
    return search_of(codebook)(tokens, lengths_of(tokens))


def search_of(codebook: Tensor) -> Search:
    """The same, made ready for any number of calls; the codebook [K, C] must not change meanwhile."""
    compiled = compiled_loops() if codebook.device.type == "cpu" and codebook.dtype == torch.float32 else None
    return TorchSearch(codebook) if compiled is None else CompiledSearch(codebook, compiled)


def without_waiting(search: Search) -> Search:
    """A search for a device that is not waited for, which may find that it was not sure; others stay as they are."""
    return UnwaitingSearch(search) if isinstance(search, TorchSearch) else search


def all_sure(searches: Iterable[Search]) -> bool:
    """Whether all that was found so far are nearest codes; waits for the device."""
    unsure = [search.unsure for search in searches if isinstance(search, UnwaitingSearch)]
    return not unsure or not bool(torch.stack(unsure).any())


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
