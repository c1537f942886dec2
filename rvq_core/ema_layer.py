"""One codebook that follows its tokens by exponential moving averages, with reset of dead codes.

The interface is the published one (T2M-GPT's ``QuantizeEMAReset``); differences are listed in docs/quantizer.md.

Shapes: latents [B, C, T], tokens [N, C] with N = B T, indices [B, T] or [N], codebook [K, C].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rvq_core.codebook_options import PLAIN, CodebookOptions, less_parallel, unit_rows
from rvq_core.distributed import (
    place_among_ranks,
    rows_of_all_ranks,
    sum_over_ranks,
    take_from_rank_zero,
    world_size,
)
from rvq_core.kmeans import kmeans
from rvq_core.latents import check_latents, lengths_of, look_up, straight_through, to_latents, to_tokens
from rvq_core.residual_pass import Kept, pass_through
from rvq_core.search import Search, gumbel_codes, search_of
from rvq_core.workers import is_waited_for

_EMA_BUFFERS = ("code_sum", "code_count", "init")


class HasMu(Protocol):
    """Options object of the published training scripts; only ``mu`` is read."""

    mu: float


def batch_perplexity(counts: Tensor) -> Tensor:
    """exp(-sum p ln(p + 1e-7)) of code counts [..., K]: the number that the field's training logs show; [...].

    An empty batch gives 1. For the exact perplexity over a corpus see ``rvq_core.stats.usage``.
    """
    share = counts / counts.sum(dim=-1, keepdim=True).clamp(min=1)
    # Not by torch.log: after a fork it waits for threads that only the parent has.
    return torch.exp(-torch.special.xlogy(share, share + 1e-7).sum(dim=-1))


class QuantizeEMAReset(nn.Module):
    """One codebook [K, C] that follows its tokens by exponential moving averages; dead codes are reset.

    ``args`` may be any object with an attribute ``mu``, which then decides. Buffers: ``codebook`` [K, C],
    ``code_sum`` [K, C] and ``code_count`` [K] (the EMA sums and counts), ``init`` [] bool. A fresh layer has
    ``code_count`` zero and ``init`` False; the first training batch initialises it. ``ema_known`` is False when the
    loaded file held a codebook but no EMA state. ``code_resets`` [K] int64 counts how often each code was reset since
    the layer was made, ``resets`` all of them, ``updates`` [] int64 the EMA steps; none is a buffer, nor part of the
    state dict.
    """

    codebook: Tensor
    code_sum: Tensor
    code_count: Tensor
    init: Tensor

    def __init__(
        self, nb_code: int, code_dim: int, args: HasMu | None = None, *, mu: float = 0.99, reset_threshold: float = 1.0,
        options: CodebookOptions = PLAIN,
    ) -> None:  # fmt: skip
        super().__init__()
        if nb_code < 1 or code_dim < 1:
            raise ValueError(f"nb_code and code_dim must be at least 1, got {nb_code} and {code_dim}")
        self.nb_code = nb_code
        self.code_dim = code_dim
        self.mu = _checked_mu(mu if args is None else args.mu)
        self.reset_threshold = reset_threshold
        self.options = options
        self.ema_known = True
        self.register_buffer("codebook", torch.zeros(nb_code, code_dim))
        self.register_buffer("code_sum", torch.zeros(nb_code, code_dim))
        self.register_buffer("code_count", torch.zeros(nb_code))
        self.register_buffer("init", torch.zeros((), dtype=torch.bool))
        self._code_resets: Tensor | None = None
        self.updates = torch.zeros((), dtype=torch.int64, device="cpu")  # loading builds modules without memory: "meta"

    @property
    def code_resets(self) -> Tensor:
        """Number of resets of each code since the layer was made, [K] int64."""
        if self._code_resets is None:
            self._code_resets = torch.zeros(self.nb_code, dtype=torch.int64, device=self.codebook.device)
        return self._code_resets

    @property
    def resets(self) -> int:
        """Number of resets of codes since the layer was made."""
        return int(self.code_resets.sum())

    def forward(
        self, x: Tensor, return_idx: bool = True, temperature: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """Quantize latents ``x`` [B, C, T]; in training also update the codebook (after the output is taken).

        Returns ``(x_d [B, C, T], idx [B, T], commit_loss [], perplexity [])``, or without ``idx`` where not asked for.
        """
        check_latents(x, self.code_dim)
        tokens = to_tokens(x, detach=False).to(self.codebook.dtype)
        passed = pass_through(tokens, [self], Kept(1), temperature, keep_inputs=self.training)
        (idx,) = passed.chosen
        learnt = [self.update_codebook(tokens, idx) for tokens in passed.inputs]
        (perplexity,) = learnt or [batch_perplexity(self.count(idx))]
        out = to_latents(passed.total, x).contiguous()
        if self.training:
            out = straight_through(out, x)
        if return_idx:
            return out, idx.view(x.shape[0], x.shape[2]), passed.loss, perplexity
        return out, passed.loss, perplexity

    def quantize(self, tokens: Tensor, temperature: float | None = None) -> Tensor:
        """Index of the nearest code for tokens [N, C] -> [N]. In training a ``temperature`` above 0 samples instead."""
        return self.search(temperature)(tokens, lengths_of(tokens))

    @torch.no_grad()
    def search(self, temperature: float | None = None) -> Search:
        """What ``quantize`` does, made ready for many calls; the codebook must not change between them."""
        if self.training and temperature is not None and temperature > 0:
            precise = self.codebook.to(torch.promote_types(self.codebook.dtype, torch.float32))
            return partial(_drawn_codes, codebook=precise, temperature=temperature)
        return search_of(self.codebook)

    def dequantize(self, idx: Tensor) -> Tensor:
        """Codes of indices [...] -> [..., C]; an index of -1 gives zeros."""
        return look_up(idx, self.codebook)

    def count(self, idx: Tensor) -> Tensor:
        """Number of tokens on each code [K], in the codebook's dtype."""
        idx = idx.reshape(-1)
        if is_waited_for(idx.device):
            counts = idx.bincount(minlength=self.nb_code)
        else:  # which bincount would wait for
            counts = idx.new_zeros(self.nb_code).scatter_add_(0, idx, torch.ones_like(idx))
        return counts.to(self.codebook.dtype)

    @property
    def awaits_tokens(self) -> bool:
        """Whether this training's next batch fills the codebook, which is fresh."""
        return self.training and not bool(self.init)

    @torch.no_grad()
    def initialise(self, tokens: Tensor) -> None:
        """Fill a fresh codebook with tokens [N, C] of the first training batch; does nothing in eval or later."""
        if not self.awaits_tokens:
            return
        tokens = self._as_followed(tokens)
        fresh = self._random_tokens(tokens)
        if fresh is None:
            return
        self.codebook.copy_(kmeans(tokens, fresh, unit=self.options.cosine) if self.options.kmeans_init else fresh)
        self.code_sum.copy_(self.codebook)
        self.code_count.fill_(1)
        self.init.fill_(1)

    @torch.no_grad()
    def update_codebook(self, tokens: Tensor, idx: Tensor) -> Tensor:
        """One EMA step with tokens [N, C] on codes ``idx`` [N]; codes with a count below the threshold are reset.

        Sums and counts are taken over all ranks; rank 0 draws what codes are reset to. Returns the batch's perplexity.
        """
        tokens = self._as_followed(tokens)
        counts = self.count(idx)
        if tokens.shape[0] == 0 and world_size() == 1:
            return batch_perplexity(counts)
        sums = torch.zeros_like(self.code_sum).index_add_(0, idx, tokens)
        sum_over_ranks(counts, sums)
        self.code_sum.lerp_(sums, 1 - self.mu)
        self.code_count.lerp_(counts, 1 - self.mu)
        self.ema_known = True
        self.updates += 1
        alive = self.code_count >= self.reset_threshold
        means = self.code_sum / self.code_count.clamp(min=torch.finfo(self.code_count.dtype).tiny)[:, None]
        means = unit_rows(means) if self.options.cosine else means
        self.codebook.copy_(self._reset(alive, means, tokens) if self._resets_now() else means)
        if self.options.orthogonality > 0:
            self._spread(alive)
        return batch_perplexity(counts)

    def _as_followed(self, tokens: Tensor) -> Tensor:
        """Tokens [N, C] as the codes follow them."""
        tokens = tokens.to(self.codebook.dtype)
        return unit_rows(tokens) if self.options.cosine else tokens

    def _resets_now(self) -> bool:
        every = self.options.reset_every
        return every == 1 or int(self.updates) % every == 0

    def _reset(self, alive: Tensor, means: Tensor, tokens: Tensor) -> Tensor:
        """Codes [K, C]: the means of those ``alive`` [K], tokens of all ranks for the others, which are counted."""
        self._code_resets = self.code_resets.to(alive.device) + ~alive
        if not is_waited_for(alive.device):  # which does not tell how many are dead
            fresh = self._random_tokens(tokens)
            return torch.where(alive[:, None], means, self.codebook if fresh is None else fresh)
        dead = (~alive).nonzero().squeeze(1)
        fresh = self._random_tokens(tokens, dead)
        return means.index_copy_(0, dead, self.codebook[dead] if fresh is None else fresh)

    def _spread(self, alive: Tensor) -> None:
        """Turn codes away from each other; the sums of those that were not reset go with them."""
        spread = less_parallel(self.codebook, self.options.orthogonality)
        self.codebook.copy_(unit_rows(spread) if self.options.cosine else spread)
        self.code_sum.copy_(torch.where(alive[:, None], self.codebook * self.code_count[:, None], self.code_sum))

    def _random_tokens(self, tokens: Tensor, codes: Tensor | None = None) -> Tensor | None:
        """Of nb_code tokens of all ranks in random order those for some ``codes`` [m], or all: [m, C].

        Fewer than that are tiled with a little noise. Rank 0 draws both order and noise. None where there are none.
        """
        begin, total = place_among_ranks(tokens)
        if total == 0:
            return None
        if total >= self.nb_code:
            return rows_of_all_ranks(tokens, begin, self._drawn(total, tokens, codes))
        copies = total * -(-self.nb_code // total)
        noise = torch.randn(copies, self.code_dim, dtype=tokens.dtype, device=tokens.device)
        drawn = self._drawn(copies, tokens, codes)
        noise = take_from_rank_zero(noise[drawn] * (0.01 / self.code_dim**0.5))
        return self._as_followed(rows_of_all_ranks(tokens, begin, drawn % total) + noise)

    def _drawn(self, total: int, tokens: Tensor, codes: Tensor | None) -> Tensor:
        """nb_code of the numbers below ``total`` in random order, of which those for some ``codes`` [m], or all."""
        drawn = take_from_rank_zero(torch.randperm(total, device=tokens.device)[: self.nb_code].contiguous())
        return drawn if codes is None else drawn[codes]

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, local_metadata: Any, strict: bool,
        missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str],
    ) -> None:  # fmt: skip
        """Accept files that hold the codebook alone, as MoMask and its relatives write them."""
        state = dict(state_dict)
        codebook = state.get(prefix + "codebook")
        absent = [name for name in _EMA_BUFFERS if prefix + name not in state]
        if isinstance(codebook, Tensor) and absent:
            state[prefix + "code_sum"] = codebook.clone()  # assigned as it is by load_state_dict(assign=True)
            state[prefix + "code_count"] = torch.ones(codebook.shape[0])
            state[prefix + "init"] = torch.ones((), dtype=torch.bool)
        super()._load_from_state_dict(state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        if isinstance(codebook, Tensor):
            self.ema_known = not absent

    def extra_repr(self) -> str:
        """Sizes shown when the module is printed."""
        return f"nb_code={self.nb_code}, code_dim={self.code_dim}, mu={self.mu}"


@torch.no_grad()
def _drawn_codes(tokens: Tensor, lengths: Tensor, codebook: Tensor, temperature: float) -> Tensor:
    del lengths  # which only the nearest code is found by
    with torch.autocast(tokens.device.type, enabled=False):
        return gumbel_codes(tokens.to(codebook.dtype), codebook, temperature)


def _checked_mu(mu: float) -> float:
    if not 0 <= mu < 1:
        raise ValueError(f"mu must lie in 0..1 (below 1), got {mu}")
    return float(mu)
