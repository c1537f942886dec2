"""Residual vector quantization with EMA codebooks, reset of dead codes and quantize dropout.

The interface is the published one (T2M-GPT's ``QuantizeEMAReset``, MoMask's ``ResidualVQ``). Where the public
implementations err, this one does not; the differences are listed in docs/quantizer.md.

Shapes: latents [B, C, T], indices [B, T, Q], codebooks [Q, K, C], tokens [N, C] with N = B T.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rvq_core.distributed import draw_on_rank_zero, sum_over_ranks, take_from_rank_zero, world_size
from rvq_core.latents import (
    check_latents,
    checked_indices,
    checked_mask,
    commitment,
    look_up,
    straight_through,
    to_latents,
    to_tokens,
)  # fmt: skip
from rvq_core.nearest import gumbel_codes, nearest_codes

_EMA_BUFFERS = ("code_sum", "code_count", "init")


class HasMu(Protocol):
    """Options object of the published training scripts; only ``mu`` is read."""

    mu: float


@dataclass(frozen=True, slots=True)
class ForwardStats:
    """What the last forward of a ``ResidualVQ`` measured, per layer in use: tensors [n], n = number of layers kept.

    ``perplexity`` is of this batch, exp(-sum p ln(p + 1e-7)); ``commit_loss`` is the layer's own, without a weight.
    """

    perplexity: Tensor
    commit_loss: Tensor


def batch_perplexity(counts: Tensor) -> Tensor:
    """exp(-sum p ln(p + 1e-7)) of code counts [K]: the number that the field's training logs show. Scalar [].

    An empty batch gives 1. For the exact perplexity over a corpus see ``rvq_core.stats.usage``.
    """
    share = counts / counts.sum().clamp(min=1)
    return torch.exp(-(share * torch.log(share + 1e-7)).sum())


class QuantizeEMAReset(nn.Module):
    """One codebook [K, C] that follows its tokens by exponential moving averages; dead codes are reset.

    ``args`` may be any object with an attribute ``mu``, which then decides. Buffers: ``codebook`` [K, C],
    ``code_sum`` [K, C] and ``code_count`` [K] (the EMA sums and counts), ``init`` [] bool. A fresh layer has
    ``code_count`` zero and ``init`` False; the first training batch initialises it. ``ema_known`` is False when the
    loaded file held a codebook but no EMA state.
    """

    codebook: Tensor
    code_sum: Tensor
    code_count: Tensor
    init: Tensor

    def __init__(
        self, nb_code: int, code_dim: int, args: HasMu | None = None, *, mu: float = 0.99, reset_threshold: float = 1.0
    ) -> None:
        super().__init__()
        if nb_code < 1 or code_dim < 1:
            raise ValueError(f"nb_code and code_dim must be at least 1, got {nb_code} and {code_dim}")
        self.nb_code = nb_code
        self.code_dim = code_dim
        self.mu = _checked_mu(mu if args is None else args.mu)
        self.reset_threshold = reset_threshold
        self.ema_known = True
        self.register_buffer("codebook", torch.zeros(nb_code, code_dim))
        self.register_buffer("code_sum", torch.zeros(nb_code, code_dim))
        self.register_buffer("code_count", torch.zeros(nb_code))
        self.register_buffer("init", torch.zeros((), dtype=torch.bool))

    def forward(
        self, x: Tensor, return_idx: bool = True, temperature: float | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """Quantize latents ``x`` [B, C, T]; in training also update the codebook (after the output is taken).

        Returns ``(x_d [B, C, T], idx [B, T], commit_loss [], perplexity [])``, or without ``idx`` where not asked for.
        """
        check_latents(x, self.code_dim)
        tokens = to_tokens(x)
        self.initialise(tokens)
        idx = self.quantize(tokens, temperature)
        codes = self.dequantize(idx)
        loss = commitment(to_tokens(x, detach=False) - codes)
        perplexity = self.update_codebook(tokens, idx) if self.training else batch_perplexity(self.count(idx))
        out = to_latents(codes, x)
        if self.training:
            out = straight_through(out, x)
        if return_idx:
            return out, idx.view(x.shape[0], x.shape[2]), loss, perplexity
        return out, loss, perplexity

    @torch.no_grad()
    def quantize(self, tokens: Tensor, temperature: float | None = None) -> Tensor:
        """Index of the nearest code for tokens [N, C] -> [N]. In training a ``temperature`` above 0 samples instead."""
        with torch.autocast(tokens.device.type, enabled=False):
            # A model in half precision searches in float32: the codes are exact there, sums of their products are not.
            codebook = self.codebook.to(torch.promote_types(self.codebook.dtype, torch.float32))
            tokens = tokens.to(codebook.dtype)
            if self.training and temperature is not None and temperature > 0:
                return gumbel_codes(tokens, codebook, temperature)
            return nearest_codes(tokens, codebook)

    def dequantize(self, idx: Tensor) -> Tensor:
        """Codes of indices [...] -> [..., C]; an index of -1 gives zeros."""
        return look_up(idx, self.codebook)

    def count(self, idx: Tensor) -> Tensor:
        """Number of tokens on each code [K], in the codebook's dtype."""
        idx = idx.reshape(-1)
        # Not bincount, for which a GPU would have to wait.
        counts = idx.new_zeros(self.nb_code).scatter_add_(0, idx, torch.ones_like(idx))
        return counts.to(self.codebook.dtype)

    @torch.no_grad()
    def initialise(self, tokens: Tensor) -> None:
        """Fill a fresh codebook with tokens [N, C] of the first training batch; does nothing in eval or later."""
        if not self.training or bool(self.init):
            return
        if int(take_from_rank_zero(torch.tensor(tokens.shape[0], device=tokens.device))) == 0:
            return
        self.codebook.copy_(take_from_rank_zero(self._random_tokens(tokens.to(self.codebook.dtype))))
        self.code_sum.copy_(self.codebook)
        self.code_count.fill_(1)
        self.init.fill_(1)

    @torch.no_grad()
    def update_codebook(self, tokens: Tensor, idx: Tensor) -> Tensor:
        """One EMA step with tokens [N, C] on codes ``idx`` [N]; codes with a count below the threshold are reset.

        Sums and counts are taken over all ranks; resets come from rank 0. Returns this batch's perplexity [].
        """
        tokens = tokens.to(self.codebook.dtype)
        counts = self.count(idx)
        if tokens.shape[0] == 0 and world_size() == 1:
            return batch_perplexity(counts)
        sums = torch.zeros_like(self.code_sum).index_add_(0, idx, tokens)
        sum_over_ranks(counts, sums)
        self.code_sum.lerp_(sums, 1 - self.mu)
        self.code_count.lerp_(counts, 1 - self.mu)
        self.ema_known = True
        alive = self.code_count >= self.reset_threshold
        fresh = take_from_rank_zero(self._random_tokens(tokens))
        means = self.code_sum / self.code_count.clamp(min=torch.finfo(self.code_count.dtype).tiny)[:, None]
        self.codebook.copy_(torch.where(alive[:, None], means, fresh))
        return batch_perplexity(counts)

    def _random_tokens(self, tokens: Tensor) -> Tensor:
        """nb_code tokens in random order [K, C]; a batch smaller than that is tiled with a little noise."""
        if tokens.shape[0] == 0:
            return self.codebook.clone()
        if tokens.shape[0] < self.nb_code:
            tokens = tokens.repeat(-(-self.nb_code // tokens.shape[0]), 1)
            tokens = tokens + torch.randn_like(tokens) * (0.01 / self.code_dim**0.5)
        return tokens[torch.randperm(tokens.shape[0], device=tokens.device)[: self.nb_code]]

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


class _Passed(NamedTuple):
    """N tokens after n layers: of each its input [N, C] (kept in training), indices [N] and loss []; the codes' sum."""

    inputs: list[Tensor]
    indices: list[Tensor]
    losses: list[Tensor]
    total: Tensor


class ResidualVQ(nn.Module):
    """A stack of codebooks, each quantizing what the ones before it left over.

    In training, with probability ``quantize_dropout_prob`` only the first n layers are used, n uniform in
    {``quantize_dropout_cutoff_index`` + 1 .. Q}. With ``shared_codebook`` all layers are one module, updated once
    per step from the tokens of all of them. ``args``: any object with an attribute ``mu``. Source: MoMask (Guo et
    al. 2024), section 3.1; SoundStream (Zeghidour et al. 2021) for quantize dropout.
    """

    def __init__(
        self,
        num_quantizers: int,
        shared_codebook: bool = False,
        quantize_dropout_prob: float = 0.5,
        quantize_dropout_cutoff_index: int = 0,
        *,
        nb_code: int,
        code_dim: int,
        args: HasMu | None = None,
        mu: float = 0.99,
        reset_threshold: float = 1.0,
    ) -> None:
        super().__init__()
        if num_quantizers < 1:
            raise ValueError(f"num_quantizers must be at least 1, got {num_quantizers}")
        if not 0 <= quantize_dropout_prob <= 1:
            raise ValueError(f"quantize_dropout_prob must lie in 0..1, got {quantize_dropout_prob}")
        if not 0 <= quantize_dropout_cutoff_index < num_quantizers:
            raise ValueError(
                f"quantize_dropout_cutoff_index must lie in 0..{num_quantizers - 1}, "
                f"got {quantize_dropout_cutoff_index}"
            )
        self.num_quantizers = num_quantizers
        self.shared_codebook = shared_codebook
        self.quantize_dropout_prob = quantize_dropout_prob
        self.quantize_dropout_cutoff_index = quantize_dropout_cutoff_index
        self.nb_code = nb_code
        self.code_dim = code_dim
        distinct = [
            QuantizeEMAReset(nb_code, code_dim, args, mu=mu, reset_threshold=reset_threshold)
            for _ in range(1 if shared_codebook else num_quantizers)
        ]
        self.layers = nn.ModuleList(distinct * num_quantizers if shared_codebook else distinct)
        self.last: ForwardStats | None = None

    @property
    def codebooks(self) -> Tensor:
        """All codebooks, [Q, K, C]."""
        return torch.stack([layer.codebook for layer in self.ema_layers()])

    def ema_layers(self) -> list[QuantizeEMAReset]:
        """The layers, typed; with a shared codebook Q times the same one."""
        return [layer for layer in self.layers if isinstance(layer, QuantizeEMAReset)]

    @property
    def latent_dim(self) -> int:
        """Channels of the latents that ``forward`` takes."""
        return self.code_dim

    def to_code_space(self, x: Tensor) -> Tensor:
        """Latents [B, latent_dim, T] as the codebooks see them, [B, C, T]."""
        return x

    def from_code_space(self, quantized: Tensor) -> Tensor:
        """A sum of codes [B, C, T] as latents [B, latent_dim, T]."""
        return quantized

    def forward(
        self,
        x: Tensor,
        return_all_codes: bool = False,
        sample_codebook_temp: float | None = None,
        force_dropout_index: int = -1,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Quantize latents ``x`` [B, C, T], which are left as they are.

        ``force_dropout_index`` k keeps exactly the first k layers (0..Q; -1: not forced). ``sample_codebook_temp``
        samples codes in training; None means the nearest code. ``mask`` [B, T] bool marks the positions that are
        data: the others (padding) get index -1 and zeros, and count in nothing.

        Returns ``(quantized [B, C, T], indices [B, T, Q] int64 with -1 where a layer is not used, commit_loss [],
        perplexity [])`` and ``all_codes [Q, B, T, C]`` when asked. In eval ``quantized`` equals
        ``get_codebook_entry(indices)`` bit for bit; in training it is the sum of the codes before this step's update,
        and its gradient goes straight to ``x``. Per-layer figures: ``self.last``.
        """
        check_latents(x, self.latent_dim)
        inner = self.to_code_space(x)
        present = slice(None) if mask is None else checked_mask(mask, x)
        tokens = to_tokens(inner, detach=False).to(self.ema_layers()[0].codebook.dtype)[present]
        passed = self._quantize(tokens, self._active_layers(force_dropout_index), sample_codebook_temp)
        indices = torch.full((x.shape[0] * x.shape[2], self.num_quantizers), -1, device=x.device)
        for q, idx in enumerate(passed.indices):
            indices[present, q] = idx
        total = passed.total
        if mask is not None:
            total = total.new_zeros((len(indices), self.code_dim)).index_put_((mask.reshape(-1),), total)
        indices = indices.view(x.shape[0], x.shape[2], self.num_quantizers)
        quantized = to_latents(total, inner).contiguous()
        if self.training:
            quantized = straight_through(quantized, inner if mask is None else inner * mask[:, None])
        all_codes = self._all_codes(indices) if return_all_codes else None
        commit_loss, perplexity = self._summarise(passed.losses, self._update(passed), x)
        if all_codes is not None:
            return self.from_code_space(quantized), indices, commit_loss, perplexity, all_codes
        return self.from_code_space(quantized), indices, commit_loss, perplexity

    @torch.no_grad()
    def get_codes_from_indices(self, indices: Tensor) -> Tensor:
        """Each layer's codes: indices [B, T, q <= Q] -> [Q, B, T, C]. -1, or a layer not given, is a zero code."""
        return self._all_codes(checked_indices(indices, self.num_quantizers, self.nb_code))

    @torch.no_grad()
    def get_codebook_entry(self, indices: Tensor) -> Tensor:
        """The latents that indices stand for, the sum of their codes: [B, T, q <= Q] -> [B, C, T]."""
        return self.from_code_space(self._sum_of_codes(checked_indices(indices, self.num_quantizers, self.nb_code)))

    def _quantize(self, residual: Tensor, active: int, temperature: float | None) -> _Passed:
        """Tokens [N, C] through the first ``active`` layers."""
        passed = _Passed([], [], [], torch.zeros_like(residual, requires_grad=False))
        for layer in self.ema_layers()[:active]:
            entering = residual.detach()
            layer.initialise(entering)
            idx = layer.quantize(entering, temperature)
            codes = F.embedding(idx, layer.codebook)
            residual = residual - codes
            passed.total.add_(codes)
            passed.indices.append(idx)
            passed.losses.append(commitment(residual))
            if self.training:
                passed.inputs.append(entering)
        return passed

    @torch.no_grad()
    def _all_codes(self, indices: Tensor) -> Tensor:
        """Indices [B, T, q], not checked -> codes of each layer [Q, B, T, C]."""
        by_layer = indices.flatten(0, 1).t().contiguous()
        given, tokens = by_layer.shape
        layers = self.ema_layers()
        codes = layers[0].codebook.new_empty((self.num_quantizers, tokens, self.code_dim))
        missing = by_layer < 0
        gaps = bool(missing.any())
        for q, idx in enumerate(by_layer.clamp(min=0) if gaps else by_layer):
            torch.index_select(layers[q].codebook, 0, idx, out=codes[q])
        if gaps:
            codes[:given].masked_fill_(missing[..., None], 0.0)
        codes[given:] = 0
        return codes.view(self.num_quantizers, *indices.shape[:2], self.code_dim)

    @torch.no_grad()
    def _sum_of_codes(self, indices: Tensor) -> Tensor:
        total = self.ema_layers()[0].codebook.new_zeros((*indices.shape[:2], self.code_dim))
        for layer, idx in zip(self.ema_layers(), indices.movedim(-1, 0).contiguous(), strict=False):
            total += layer.dequantize(idx)
        return total.transpose(1, 2).contiguous()

    def _active_layers(self, force_dropout_index: int) -> int:
        """Number of layers that this forward uses."""
        if not -1 <= force_dropout_index <= self.num_quantizers:
            raise ValueError(
                f"force_dropout_index must be -1 (not forced) or 0..{self.num_quantizers}, got {force_dropout_index}"
            )
        if force_dropout_index >= 0:
            return force_dropout_index
        if not self.training or self.quantize_dropout_prob == 0:
            return self.num_quantizers
        resolution = 1 << 24
        if draw_on_rank_zero(0, resolution) >= self.quantize_dropout_prob * resolution:
            return self.num_quantizers
        return draw_on_rank_zero(self.quantize_dropout_cutoff_index + 1, self.num_quantizers + 1)

    def _update(self, passed: _Passed) -> list[Tensor]:
        """Batch perplexity of each layer in use; in training the codebooks take their EMA step."""
        layers = self.ema_layers()
        if self.training and not self.shared_codebook:
            steps = zip(layers, passed.inputs, passed.indices, strict=False)
            return [layer.update_codebook(tokens, idx) for layer, tokens, idx in steps]
        used = zip(layers, passed.indices, strict=False)
        perplexities = [batch_perplexity(layer.count(idx)) for layer, idx in used]
        if self.training and passed.inputs:
            layers[0].update_codebook(torch.cat(passed.inputs), torch.cat(passed.indices))
        return perplexities

    def _summarise(self, losses: Iterable[Tensor], perplexities: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """Means over the layers in use, and ``self.last``."""
        if not perplexities:
            self.last = ForwardStats(x.new_zeros(0), x.new_zeros(0))
            return x.new_zeros(()), x.new_ones(())
        loss, perplexity = torch.stack(list(losses)), torch.stack(perplexities)
        self.last = ForwardStats(perplexity, loss.detach())
        return loss.mean(), perplexity.mean()


def _checked_mu(mu: float) -> float:
    if not 0 <= mu < 1:
        raise ValueError(f"mu must lie in 0..1 (below 1), got {mu}")
    return float(mu)
