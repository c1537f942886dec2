"""Tokens on their way through a stack of codebooks: a few at a time through all layers, then the next few.

Layer by layer, all residuals would be written to memory and read again at each; a few of them stay in a processor's
cache until the last layer has had them.

Shapes: tokens [N, C], codebooks [K, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rvq_core.latents import lengths_of
from rvq_core.search import Search, all_sure, without_waiting
from rvq_core.search.compiled import CompiledSearch, Few, pass_few
from rvq_core.workers import is_waited_for, shared_out
from rvq_core.workspace import workspace

CACHED_NUMBERS = 1 << 19
"""Numbers of the tokens that are under way at once on a CPU: 2 MB of float32."""

LEAST_EACH = 1024
"""Tokens that are worth a thread of their own."""

Rows = slice | Tensor
"""Some of all tokens: from one to another, or their numbers [m]."""


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
    losses = under_way.all_through(temperature)
    mean = losses.mean() if len(losses) else losses.new_zeros(())
    if under_way.pull is not None and len(losses):
        mean = _MeanCommitment.apply(tokens, mean, under_way.pull, 2 / (len(losses) * tokens.numel()))
    inputs = [under_way.those_in(q, given) for q, given in enumerate(under_way.inputs)]
    chosen = [under_way.those_in(q, under_way.indices[:, q]) for q in range(len(losses))]
    return Passed(inputs, chosen, under_way.indices, under_way.total, losses, mean)


class _UnderWay:
    """The pass while it goes on: what ``Passed`` is made of. Each token writes to its own rows alone."""

    def __init__(self, tokens: Tensor, layers: Sequence[Layer], of_each: Tensor | None, keep_inputs: bool) -> None:
        self.tokens = tokens.detach().contiguous()
        self.layers = layers
        self.of_each = of_each
        n = len(layers)
        self.had = [len(tokens)] * n
        if of_each is not None:
            self.had = (of_each[:, None] > torch.arange(n, device=of_each.device)).sum(dim=0).tolist()
        self.inputs = [self.tokens, *(torch.empty_like(self.tokens) for _ in range(1, n))] if keep_inputs and n else []
        self.indices = torch.full((len(tokens), n), -1, device=tokens.device)
        self.total = torch.empty_like(self.tokens) if n else torch.zeros_like(self.tokens)
        # Where the mean loss pulls each token: N C / 2 times its gradient, were there one layer.
        wanted = torch.is_grad_enabled() and tokens.requires_grad and tokens.numel() > 0
        self.pull = torch.empty_like(self.tokens) if wanted else None

    def those_in(self, q: int, rows: Tensor) -> Tensor:
        """Of rows [N, ...] those of the tokens that layer ``q`` had."""
        return rows if self.of_each is None else rows[self.of_each > q]

    @torch.no_grad()
    def all_through(self, temperature: float | None) -> Tensor:
        """Every token through its layers: twice the mean square of what each layer left [n], 0 where it had no token.

        A codebook without codes takes them from all tokens that reach it, so then all go at once.
        """
        if not self.layers:
            return lengths_of(self.tokens[:0]).squeeze(1)
        everything = slice(0, len(self.tokens))
        if any(layer.awaits_tokens for layer in self.layers):
            return self._means([self._through(everything, None, temperature)])
        workers, spans = self._spans(drawn=temperature is not None)
        distinct = {id(layer): layer for layer in self.layers}  # all the same where they share a codebook
        ready = shared_out(lambda layer: layer.search(temperature), list(distinct.values()), workers)
        made = dict(zip(distinct, ready, strict=True))
        searches = [made[id(layer)] for layer in self.layers]
        if not is_waited_for(self.tokens.device):
            unwaiting = {key: without_waiting(search) for key, search in made.items()}
            squares = self._through(everything, [unwaiting[id(layer)] for layer in self.layers], temperature)
            if all_sure(unwaiting.values()):
                return self._means([squares])
        compiled = [search for search in searches if isinstance(search, CompiledSearch)]
        if self.of_each is not None or len(compiled) < len(searches):
            compiled = []
        inference = torch.is_inference_mode_enabled()

        def through(rows: slice) -> Tensor:
            # Of modes another thread knows nothing.
            with torch.inference_mode(inference), torch.no_grad():
                if compiled:
                    return self._through_compiled(rows, compiled)
                return self._through(rows, searches, temperature)

        return self._means(shared_out(through, spans, workers))

    def _means(self, squares: list[Tensor]) -> Tensor:
        """Twice the mean squares [n] from sums of squares [n] over some of the tokens each."""
        sums = torch.stack(squares).sum(dim=0)
        halves = [max(1, had) * self.tokens.shape[1] / 2 for had in self.had]
        sums = sums / (halves[0] if self.of_each is None else sums.new_tensor(halves))
        return sums.to(torch.promote_types(self.tokens.dtype, torch.float32))

    def _spans(self, drawn: bool) -> tuple[int, list[slice]]:
        """How many threads take tokens beside each other, and which at once; one where codes are ``drawn`` in order."""
        total = len(self.tokens)
        if not is_waited_for(self.tokens.device):
            return 1, [slice(0, total)]
        workers = 1 if drawn else max(1, min(torch.get_num_threads(), total // LEAST_EACH))
        at_once = max(1, min(CACHED_NUMBERS // self.tokens.shape[1], -(-total // workers)))
        return workers, [slice(start, start + at_once) for start in range(0, max(1, total), at_once)]

    def _through_compiled(self, rows: slice, searches: Sequence[CompiledSearch]) -> Tensor:
        """As ``_through``, where every token has all layers."""
        tokens = self.tokens[rows]
        left = workspace("residual", len(tokens), tokens.shape[1], tokens)
        to = [*(given[rows] for given in self.inputs[1:]), left] if self.inputs else [left] * len(searches)
        pull = tokens[:0] if self.pull is None else self.pull[rows]
        return pass_few(Few(tokens, to, self.total[rows], self.indices[rows], pull), searches)

    def _through(self, span: slice, searches: Sequence[Search] | None, temperature: float | None) -> Tensor:
        """Some tokens through their layers, whose codebooks are filled first where there are no ``searches`` yet.

        Gives the sums of squares that each layer left of them [n].
        """
        rows: Rows = span
        given = self.tokens[rows]
        residual = workspace("residual", len(given), given.shape[1], given).copy_(given)
        lengths = lengths_of(given)
        for sums in (self.total, *([] if self.pull is None else [self.pull])):
            sums[rows] = 0
        squares: list[Tensor] = []
        for q, layer in enumerate(self.layers):
            if self.of_each is not None:
                staying = self.of_each[rows] > q
                residual, lengths, rows = residual[staying], lengths[staying], _among(rows, staying)
            if searches is None:
                layer.initialise(residual)
            search = layer.search(temperature) if searches is None else searches[q]
            if self.inputs and q:
                self.inputs[q][rows] = residual
            idx = self.indices[rows, q] = search(residual, lengths)
            codes = workspace("codes", len(residual), residual.shape[1], residual)
            torch.index_select(layer.codebook, 0, idx, out=codes)
            _add(self.total, rows, codes)
            residual.sub_(codes)
            lengths = lengths_of(residual)
            squares.append(lengths.square().sum())
            if self.pull is not None:
                _add(self.pull, rows, residual, len(self.tokens) / max(1, self.had[q]))
        return torch.stack(squares)


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
