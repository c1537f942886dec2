"""Tokens on their way through a stack of codebooks: a few at a time through all layers, then the next few.

Layer by layer, all residuals would be written to memory and read again at each; a few of them stay in a processor's
cache until the last layer has had them.

Shapes: tokens [N, C], codebooks [K, C].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rvq_core.latents import lengths_of
from rvq_core.workspace import workspace

CACHED_NUMBERS = 1 << 19
"""Numbers of the tokens that are under way at once on a CPU: 2 MB of float32."""

Rows = slice | Tensor
"""Some of all tokens: from one to another, or their numbers [m]."""

Search = Callable[[Tensor, Tensor], Tensor]
"""From tokens [N, C] and their lengths [N, 1] to the indices [N] of their codes."""


class Layer(Protocol):
    """What the pass needs of a layer."""

    codebook: Tensor

    @property
    def awaits_tokens(self) -> bool:
        """Whether its codebook is to be filled with the tokens that reach it."""
        ...

    def initialise(self, tokens: Tensor) -> None:
        """Fill it with tokens [N, C]."""

    def search(self, temperature: float | None = None) -> Search:
        """What finds, or at a ``temperature`` samples, the codes of tokens."""
        ...


class Kept(NamedTuple):
    """How many layers a forward uses; where samples differ, how many of them each does [B], or each token [N]."""

    layers: int
    of_each: Tensor | None = None


class Passed(NamedTuple):
    """N tokens after n layers. M is how many of them a layer had.

    ``inputs``: of each layer what it was given [M, C], nothing unless it was asked for. ``chosen``: of each layer the
    indices [M]. ``indices`` [N, n]: the same, -1 where a token had no such layer. ``total`` [N, C]: sums of the codes.
    ``losses`` [n]: commitment loss of each layer, mse(x, sg(x_d)) + mse(sg(x), x_d). ``loss`` []: their mean; of its
    two equal halves one has a gradient.
    """

    inputs: list[Tensor]
    chosen: list[Tensor]
    indices: Tensor
    total: Tensor
    losses: Tensor
    loss: Tensor


def pass_through(
    tokens: Tensor, layers: Sequence[Layer], kept: Kept, temperature: float | None = None, keep_inputs: bool = False
) -> Passed:
    """Tokens [N, C], which are left as they are, through the first layers; a ``temperature`` samples their codes."""
    under_way = _UnderWay(tokens, layers[: kept.layers], kept.of_each, keep_inputs)
    under_way.all_through(temperature)
    losses = under_way.losses()
    mean = losses.mean() if len(losses) else losses.new_zeros(())
    if under_way.pull is not None and len(losses):
        mean = _MeanCommitment.apply(tokens, mean, under_way.pull, 2 / (len(losses) * tokens.numel()))
    sizes = zip(under_way.inputs, under_way.had, strict=False)
    inputs = [given[:had] for given, had in sizes]
    chosen = [torch.cat(some) for some in under_way.chosen]
    return Passed(inputs, chosen, under_way.indices, under_way.total, losses, mean)


class _UnderWay:
    """The pass while it goes on: what ``Passed`` is made of."""

    def __init__(self, tokens: Tensor, layers: Sequence[Layer], of_each: Tensor | None, keep_inputs: bool) -> None:
        self.tokens = tokens.detach()
        self.layers = layers
        self.of_each = of_each
        n = len(layers)
        self.had = [len(tokens)] * n
        if of_each is not None:
            self.had = (of_each[:, None] > torch.arange(n, device=of_each.device)).sum(dim=0).tolist()
        self.inputs = [torch.empty_like(self.tokens) for _ in range(n if keep_inputs else 0)]
        self.filled = [0] * len(self.inputs)
        self.chosen: list[list[Tensor]] = [[] for _ in range(n)]
        self.indices = torch.full((len(tokens), n), -1, device=tokens.device)
        self.total = torch.zeros_like(self.tokens)
        self.squares: list[list[Tensor]] = [[] for _ in range(n)]
        # Where the mean loss pulls each token: N C / 2 times its gradient, were there one layer.
        wanted = torch.is_grad_enabled() and tokens.requires_grad and tokens.numel() > 0
        self.pull = torch.zeros_like(self.tokens) if wanted else None

    @torch.no_grad()
    def all_through(self, temperature: float | None) -> None:
        """Every token through its layers. A codebook without codes takes them from all tokens that reach it."""
        fresh = [layer.awaits_tokens for layer in self.layers]
        at_once = max(1, len(self.tokens) if any(fresh) else _tokens_at_once(self.tokens))
        searches: dict[int, Search] = {}
        for start in range(0, max(1, len(self.tokens)), at_once):
            rows: Rows = slice(start, start + at_once)
            residual, lengths = self.tokens[rows], lengths_of(self.tokens[rows])
            for q, layer in enumerate(self.layers):
                if self.of_each is not None:
                    staying = self.of_each[rows] > q
                    residual, lengths, rows = residual[staying], lengths[staying], _among(rows, staying)
                if fresh[q]:
                    layer.initialise(residual)
                if id(layer) not in searches:
                    searches[id(layer)] = layer.search(temperature)
                idx = searches[id(layer)](residual, lengths)
                codes = workspace(f"codes {q % 2}", len(idx), residual.shape[1], residual)  # the other holds residuals
                torch.index_select(layer.codebook, 0, idx, out=codes)
                self._note_chosen(q, rows, residual, idx, codes)
                residual = torch.sub(residual, codes, out=codes)
                lengths = lengths_of(residual)
                self._note_left(q, rows, residual, lengths)

    def _note_chosen(self, q: int, rows: Rows, residual: Tensor, idx: Tensor, codes: Tensor) -> None:
        """Layer ``q`` chose ``codes`` for what had been left of the tokens ``rows``."""
        if self.inputs:
            begin, self.filled[q] = self.filled[q], self.filled[q] + len(idx)
            self.inputs[q][begin : self.filled[q]] = residual
        self.chosen[q].append(idx)
        self.indices[rows, q] = idx
        _add(self.total, rows, codes)

    def _note_left(self, q: int, rows: Rows, residual: Tensor, lengths: Tensor) -> None:
        """Layer ``q`` left a ``residual`` of the tokens ``rows``, and its lengths [m, 1]."""
        self.squares[q].append(lengths.square().sum())
        if self.pull is not None:
            _add(self.pull, rows, residual, len(self.tokens) / max(1, self.had[q]))

    def losses(self) -> Tensor:
        """Twice the mean square of what each layer left [n]; 0 of a layer that no token had."""
        if not self.squares:
            return lengths_of(self.tokens[:0]).squeeze(1)
        sums = torch.stack([torch.stack(some).sum() for some in self.squares])
        numbers = [max(1, had) * self.tokens.shape[1] / 2 for had in self.had]
        return sums / sums.new_tensor(numbers)


class _MeanCommitment(torch.autograd.Function):
    """A mean loss whose gradient is known already: ``pull`` times ``scale``."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, loss: Tensor, pull: Tensor, scale: float) -> Tensor:
        del tokens  # which the gradient is of
        ctx.save_for_backward(pull)
        ctx.scale = scale
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride] - once_differentiable's type
        (pull,) = ctx.saved_tensors
        exact = pull.to(torch.promote_types(pull.dtype, torch.float32))
        return (exact * (gradient[0] * ctx.scale)).to(pull.dtype), None, None, None


def _among(rows: Rows, staying: Tensor) -> Tensor:
    """Numbers of those of the ``rows`` [m] that are ``staying`` [m] (bool)."""
    kept = staying.nonzero().squeeze(1)
    return kept + rows.start if isinstance(rows, slice) else rows[kept]


def _add(to: Tensor, rows: Rows, what: Tensor, times: float = 1.0) -> None:
    """Add to rows of a tensor, in place."""
    if isinstance(rows, slice):
        to[rows].add_(what, alpha=times)
    else:
        to.index_add_(0, rows, what, alpha=times)


def _tokens_at_once(tokens: Tensor) -> int:
    return CACHED_NUMBERS // tokens.shape[1] if tokens.device.type == "cpu" else len(tokens)
