"""From tensors to the compiled loops: where they can be used, and the search for nearest codes that is made of them."""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rvq_core.search.products import products_with
from rvq_core.search.scores import ScoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

CACHED_PRODUCTS = 1 << 20
"""Products of tokens and codes made at once: 4 MB of float32, which are still in a cache when they are looked at."""


@functools.cache
def compiled_loops() -> ModuleType | None:
    """``rvq_core.search.loops``, or None, with a warning, where numba does not work on this machine."""
    try:
        from rvq_core.search import loops
    except Exception as error:  # whatever may be wrong with a compiler: there is another way
        warnings.warn(
            f"numba cannot be used ({type(error).__name__}: {error}): codes are searched by torch's functions, which"
            " give the same in about twice the time. To mend it: pip install -U numba",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return loops


class Few(NamedTuple):
    """Some tokens on their way through layers: tensors that are contiguous, float32 and on a CPU, and written to.

    ``tokens`` [n, C] as the next layer sees them, and their ``lengths`` [n]; ``total`` [n, C], the sum of the codes so
    far; ``chosen`` [n, Q], the indices; ``pull`` [n, C], the sum of what layers left, or [0, C] where nobody asks.
    """

    tokens: Tensor
    lengths: Tensor
    total: Tensor
    chosen: Tensor
    pull: Tensor


class CompiledSearch:
    """A float32 codebook [K, C] on a CPU made ready for any number of searches; it must not change meanwhile."""

    @torch.no_grad()
    def __init__(self, codebook: Tensor, loops: ModuleType) -> None:
        codebook = codebook.detach().contiguous()
        codes = codebook.numpy()
        half_norms = np.empty(len(codes), np.float32)
        loops.half_squares(codes, half_norms)
        order = half_norms.argsort(kind="stable")
        longest = math.sqrt(2 * half_norms[order[-1]])
        loops.put_repeats_out_of_reach(codes, order, half_norms)
        self.at_once = max(1, CACHED_PRODUCTS // len(codes))
        self._loops = loops
        self._products = products_with(codebook)
        self._codes = codes, half_norms, longest
        self._error = ScoreError.of(codebook)

    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens [N, C] and their lengths [N, 1] -> indices [N] int64 of their nearest codes, the first of equals."""
        tokens, lengths = tokens.detach().contiguous(), lengths.detach().reshape(-1).contiguous()
        chosen = torch.zeros((len(tokens), 1), dtype=torch.int64)
        with torch.autocast("cpu", enabled=False):
            for start in range(0, len(tokens), self.at_once):
                some = slice(start, start + self.at_once)
                self.choose(tokens[some], tokens[some].numpy(), lengths[some].numpy(), chosen[some].numpy(), 0)
        return chosen.squeeze(1)

    def choose(self, tokens: Tensor, vectors: Any, lengths: Any, chosen: Any, q: int) -> None:
        """The same for at most ``at_once`` tokens, which ``vectors`` are too, written to ``chosen[:, q]``."""
        products = self._products(tokens).numpy()
        self._loops.choose(products, *self._codes, vectors, lengths, *self._error, chosen, q)

    def move_on(self, chosen: Any, q: int, vectors: Any, lengths: Any, total: Any, kept: Any, pull: Any) -> float:
        """Take the codes chosen from the tokens, which are written to; see ``loops.move_on``."""
        return self._loops.move_on(self._codes[0], chosen, q, vectors, lengths, total, kept, pull)


@torch.no_grad()
def pass_few(few: Few, searches: Sequence[CompiledSearch], kept: Sequence[Tensor]) -> Tensor:
    """Take some tokens through all layers, in place: the sums of squares of what each layer left [Q], float64.

    ``kept``: of each layer where to write what it was given [n, C], if anywhere. These are as few calls as can be:
    little of what Python and torch need is in a cache after a product of matrices, and each takes thirty microseconds.
    """
    vectors, lengths, total, chosen, pull = (tensor.numpy() for tensor in few)
    nothing = vectors[:0]
    squares: list[float] = []
    with torch.autocast("cpu", enabled=False):
        for q, search in enumerate(searches):
            search.choose(few.tokens, vectors, lengths, chosen, q)
            to = kept[q].numpy() if kept else nothing
            squares.append(search.move_on(chosen, q, vectors, lengths, total, to, pull))
    return torch.tensor(squares, dtype=torch.float64)
