"""From tensors to the compiled loops: where they can be used, and the search for nearest codes that is made of them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rvq_core.search.scores import ScoreError
from rvq_core.workspace import workspace

if TYPE_CHECKING:
    from types import ModuleType

HELD_SCORES = 1 << 16
"""Scores held until they are looked at: 256 KB of float32, of which a second-level cache has more."""

_FLOAT32 = torch.empty(0, dtype=torch.float32, device="cpu")


@functools.cache
def compiled_loops() -> ModuleType | None:
    """``rvq_core.search.loops``; None where numba compiles nothing, with a warning if nobody told it so."""
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
    told_not_to = loops.config.DISABLE_JIT  # pyright: ignore[reportAttributeAccessIssue] - numba's settings are made when it is imported
    return None if told_not_to else loops


class Few(NamedTuple):
    """Some tokens on their way through layers: tensors that are contiguous, float32 and on a CPU.

    ``tokens`` [n, C] are only read. Written to: ``left``, of each layer where to write what it leaves [n, C], which may
    be the same for all; ``total`` [n, C], the sum of their codes; ``chosen`` [n, Q], the indices; ``pull`` [n, C], the
    sum of what layers left, or [0, C] where nobody asks.
    """

    tokens: Tensor
    left: Sequence[Tensor]
    total: Tensor
    chosen: Tensor
    pull: Tensor


class _Ready(NamedTuple):
    """What ``loops.through_layer`` needs of a codebook, in its order."""

    codes: Any
    panels: Any
    half_norms: Any
    longest: float
    relative: float
    underflow: float


class CompiledSearch:
    """A float32 codebook [K, C] on a CPU made ready for any number of searches; it must not change meanwhile.

    Loops check no bounds: sizes are looked at here.
    """

    @torch.no_grad()
    def __init__(self, codebook: Tensor, loops: ModuleType) -> None:
        if len(codebook) == 0:
            raise ValueError(f"a codebook must be [K, C] with at least one code, got {list(codebook.shape)}")
        codes = codebook.detach().contiguous().numpy()
        # Torch's memory begins where cache lines do, numpy's does not.
        panels = codebook.new_empty((-(-len(codes) // loops.CODES), codes.shape[1], loops.CODES)).numpy()
        half_norms = codebook.new_empty(len(panels) * loops.CODES).numpy()
        longest = loops.make_ready(codes, panels, half_norms)
        self._ready = _Ready(codes, panels, half_norms, longest, *ScoreError.of(codebook, factors=0.0))
        self._rows = loops.ROWS * max(1, HELD_SCORES // (loops.ROWS * len(half_norms)))
        self._through_layer = loops.through_layer

    @torch.no_grad()
    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens [N, C], and their lengths [N, 1], which are not needed -> indices [N] int64, the first of equals."""
        del lengths
        chosen = tokens.new_zeros((len(tokens), 1), dtype=torch.int64)
        vectors = tokens.detach().to(torch.float32).contiguous().numpy()
        nothing = vectors[:0]
        self.through_layer(vectors, chosen.numpy(), 0, nothing, nothing, nothing)
        return chosen.squeeze(1)

    def through_layer(self, tokens: Any, chosen: Any, q: int, left: Any, total: Any, pull: Any) -> float:
        """Take tokens through this layer; see ``loops.through_layer``. Raises ValueError where they do not fit."""
        ready = self._ready
        if tokens.shape[1] != ready.codes.shape[1]:
            raise ValueError(f"tokens must be [N, {ready.codes.shape[1]}], as the codes, got {list(tokens.shape)}")
        scores = workspace("scores", self._rows, len(ready.half_norms), _FLOAT32).numpy()
        return self._through_layer(*ready, scores, tokens, chosen, q, left, total, pull)


@torch.no_grad()
def pass_few(few: Few, searches: Sequence[CompiledSearch]) -> Tensor:
    """Take some tokens through all layers: the sums of squares of what each layer left [Q], float64."""
    total, chosen, pull = few.total.numpy(), few.chosen.numpy(), few.pull.numpy()
    tokens = few.tokens.numpy()
    squares: list[float] = []
    for q, (search, to) in enumerate(zip(searches, few.left, strict=True)):
        left = to.numpy()
        squares.append(search.through_layer(tokens, chosen, q, left, total, pull))
        tokens = left
    return torch.tensor(squares, dtype=torch.float64, device="cpu")
