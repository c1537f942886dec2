"""Residual vector quantization: a stack of EMA codebooks with quantize dropout.

The interface is the published one (MoMask's ``ResidualVQ``). Where the public
implementations err, this one does not; the differences are listed in docs/quantizer.md.

Shapes: latents [B, C, T], indices [B, T, Q], codebooks [Q, K, C], tokens [N, C] with N = B T.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rvq_core.codebook_options import PLAIN, CodebookOptions
from rvq_core.distributed import draw_on_rank_zero, place_among_ranks, take_from_rank_zero
from rvq_core.ema_layer import HasMu, QuantizeEMAReset, batch_perplexity
from rvq_core.latents import (
    check_latents,
    checked_indices,
    checked_mask,
    rotated,
    straight_through,
    sum_of_codes,
    to_latents,
    to_tokens,
)  # fmt: skip
from rvq_core.residual_pass import Kept, Passed, pass_through


@dataclass(frozen=True, slots=True)
class ForwardStats:
    """What the last forward of a ``ResidualVQ`` measured, per layer in use: tensors [n], n = number of layers kept.

    ``perplexity`` is of this batch, exp(-sum p ln(p + 1e-7)); ``commit_loss`` is the layer's own, without a weight.
    """

    perplexity: Tensor
    commit_loss: Tensor


class ResidualVQ(nn.Module):
    """A stack of codebooks, each quantizing what the ones before it left over.

    In training, with probability ``quantize_dropout_prob`` only the first n layers are used, n uniform in
    {``quantize_dropout_cutoff_index`` + 1 .. Q}. With ``shared_codebook`` all layers are one module, updated once
    per step from the tokens of all of them. ``args``: any object with an attribute ``mu``. Source: MoMask (Guo et
    al. 2024), section 3.1; SoundStream (Zeghidour et al. 2021) for quantize dropout.

    ``dropout_per_sample``: each sample of a batch draws for itself whether and where it is cut (Kumar et al. 2023, DAC,
    section 3.4). ``rotation_trick``: the gradient of the output reaches ``x`` turned as its codes lie to it, not as it
    is (Fifty et al. 2024). ``options``: of each codebook.
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
        options: CodebookOptions = PLAIN,
        dropout_per_sample: bool = False,
        rotation_trick: bool = False,
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
        self.dropout_per_sample = dropout_per_sample
        self.rotation_trick = rotation_trick
        distinct = [
            QuantizeEMAReset(nb_code, code_dim, args, mu=mu, reset_threshold=reset_threshold, options=options)
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
        kept = self._kept_layers(force_dropout_index, x)
        if kept.of_each is not None:
            kept = kept._replace(of_each=kept.of_each.repeat_interleave(x.shape[2])[present])
        passed = pass_through(tokens, self.ema_layers(), kept, sample_codebook_temp, keep_inputs=self.training)
        indices = torch.full((x.shape[0] * x.shape[2], self.num_quantizers), -1, device=x.device)
        indices[present, : kept.layers] = passed.indices
        total = passed.total
        if mask is not None:
            total = total.new_zeros((len(indices), self.code_dim)).index_put_((mask.reshape(-1),), total)
        indices = indices.view(x.shape[0], x.shape[2], self.num_quantizers)
        quantized = to_latents(total, inner).contiguous()
        if self.training:
            estimate = rotated if self.rotation_trick else straight_through
            quantized = estimate(quantized, inner if mask is None else inner * mask[:, None])
        all_codes = self._all_codes(indices) if return_all_codes else None
        commit_loss, perplexity = self._summarise(passed, self._update(passed), x)
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
        codebooks = [layer.codebook for layer in self.ema_layers()]
        total = sum_of_codes(indices.flatten(0, 1), codebooks)
        return total.view(*indices.shape[:2], self.code_dim).transpose(1, 2).contiguous()

    def _kept_layers(self, force_dropout_index: int, x: Tensor) -> Kept:
        """The layers that this forward uses of latents ``x``."""
        if not -1 <= force_dropout_index <= self.num_quantizers:
            raise ValueError(
                f"force_dropout_index must be -1 (not forced) or 0..{self.num_quantizers}, got {force_dropout_index}"
            )
        if force_dropout_index >= 0:
            return Kept(force_dropout_index)
        if not self.training or self.quantize_dropout_prob == 0:
            return Kept(self.num_quantizers)
        if self.dropout_per_sample:
            return self._kept_by_sample(x)
        resolution = 1 << 24
        if draw_on_rank_zero(0, resolution) >= self.quantize_dropout_prob * resolution:
            return Kept(self.num_quantizers)
        return Kept(draw_on_rank_zero(self.quantize_dropout_cutoff_index + 1, self.num_quantizers + 1))

    def _kept_by_sample(self, x: Tensor) -> Kept:
        """The same, drawn for each sample of ``x`` by itself; rank 0 draws for those of all ranks."""
        begin, total = place_among_ranks(x)
        cut = torch.rand(total, device=x.device) < self.quantize_dropout_prob
        least = self.quantize_dropout_cutoff_index + 1
        drawn = torch.randint(least, self.num_quantizers + 1, (total,), device=x.device)
        of_each = take_from_rank_zero(torch.where(cut, drawn, self.num_quantizers))
        return Kept(int(of_each.max()) if total else 0, of_each[begin : begin + x.shape[0]])

    def _update(self, passed: Passed) -> list[Tensor]:
        """Batch perplexity of each layer in use; in training the codebooks take their EMA step."""
        layers = self.ema_layers()
        if self.training and not self.shared_codebook:
            steps = zip(layers, passed.inputs, passed.chosen, strict=False)
            return [layer.update_codebook(tokens, idx) for layer, tokens, idx in steps]
        counts = [layer.count(idx) for layer, idx in zip(layers, passed.chosen, strict=False)]
        if self.training and passed.inputs:
            layers[0].update_codebook(torch.cat(passed.inputs), torch.cat(passed.chosen))
        return list(batch_perplexity(torch.stack(counts))) if counts else []

    def _summarise(self, passed: Passed, perplexities: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """Means over the layers in use, and ``self.last``."""
        if not perplexities:
            self.last = ForwardStats(x.new_zeros(0), x.new_zeros(0))
            return x.new_zeros(()), x.new_ones(())
        perplexity = torch.stack(perplexities)
        self.last = ForwardStats(perplexity, passed.losses)
        return passed.loss, perplexity.mean()
