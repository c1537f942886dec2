"""Latents [B, C, T] and tokens [N, C], N = B T: from one to the other, and what a quantizer makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_SHORTEST = 1e-6
"""Lengths are taken to be at least this where something is divided by them."""


def check_latents(x: Tensor, code_dim: int) -> None:
    """Raise ValueError where ``x`` is not [B, code_dim, T]."""
    if x.dim() != 3 or x.shape[1] != code_dim:
        raise ValueError(f"latents must be [B, {code_dim}, T], got {list(x.shape)}")


def checked_mask(mask: Tensor, x: Tensor) -> Tensor:
    """A mask [B, T] of latents [B, C, T] as [B T]. Raises ValueError for one of another kind."""
    if mask.dtype != torch.bool or mask.shape != (x.shape[0], x.shape[2]):
        raise ValueError(f"mask must be bool [{x.shape[0]}, {x.shape[2]}], got {mask.dtype} {list(mask.shape)}")
    return mask.reshape(-1)


def checked_indices(indices: Tensor, layers: int, codes: int) -> Tensor:
    """Indices [B, T, q <= layers] of any integer type, -1 or below ``codes``, as int64. Raises ValueError."""
    if indices.dim() != 3 or indices.shape[-1] > layers or indices.is_floating_point():
        raise ValueError(
            f"indices must be integers [B, T, q] with q <= {layers}, got {indices.dtype} {list(indices.shape)}"
        )
    indices = indices.long()
    if indices.numel() and not (int(indices.min()) >= -1 and int(indices.max()) < codes):
        raise ValueError(f"indices must lie in -1..{codes - 1}, got {int(indices.min())}..{int(indices.max())}")
    return indices


def to_tokens(x: Tensor, detach: bool = True) -> Tensor:
    """[B, C, T] -> [B T, C]; memory of its own unless T is 1, and never written to."""
    return (x.detach() if detach else x).transpose(1, 2).reshape(-1, x.shape[1])


def to_latents(tokens: Tensor, x: Tensor) -> Tensor:
    """[B T, C] -> [B, C, T] in the dtype of ``x``."""
    return tokens.view(x.shape[0], x.shape[2], x.shape[1]).transpose(1, 2).to(x.dtype)


def lengths_of(tokens: Tensor) -> Tensor:
    """Lengths [N, 1] of tokens [N, C], in float32 or their own precision, whichever is higher."""
    precision = torch.promote_types(tokens.dtype, torch.float32)
    return torch.linalg.vector_norm(tokens, dim=1, keepdim=True, dtype=precision)


def look_up(idx: Tensor, codebook: Tensor) -> Tensor:
    """Codes of indices [...] -> [..., C]; an index of -1 gives zeros."""
    missing = idx < 0
    if not missing.any():
        return F.embedding(idx, codebook)
    return F.embedding(idx.clamp(min=0), codebook).masked_fill(missing[..., None], 0.0)


def sum_of_codes(indices: Tensor, codebooks: Sequence[Tensor]) -> Tensor:
    """Sums over layers of the codes [K, C] of indices [N, q <= Q] -> [N, C]; an index of -1 adds nothing.

    Added in the order of layers in the codebooks' precision, as a quantizer's forward does, so the bits are the same.
    """
    first = codebooks[0]
    if not indices.shape[1] or len(indices) < len(first) or first.dtype not in (torch.float32, torch.float64):
        total = first.new_zeros((len(indices), first.shape[1]))
        for idx, codebook in zip(indices.unbind(dim=1), codebooks, strict=False):
            total += look_up(idx, codebook)
        return total
    # Many tokens are worth a copy of the codebooks: one call then reads each row and writes each sum once. In half
    # precision it would add in float32.
    given = codebooks[: indices.shape[1]]
    rows = torch.cat([*given, first.new_zeros((1, first.shape[1]))])
    starts = torch.arange(len(given), device=indices.device) * len(first)
    return F.embedding_bag((indices + starts).masked_fill(indices < 0, len(rows) - 1), rows, mode="sum")


def rotated(quantized: Tensor, x: Tensor) -> Tensor:
    """The codes' values [B, C, T] with the gradient of x turned and scaled onto them: the rotation trick.

    Source: Fifty et al. 2024. The Jacobian is |q| / |e| (I - 2 r r^T + 2 q' e'^T) for a latent e and the sum q of its
    codes, at length 1 e' and q', and r = (e' + q') / |e' + q'|: what turns e' onto q' in their plane, and the scale.
    """
    with torch.no_grad():
        lengths = [vectors.norm(dim=1, keepdim=True).clamp(min=_SHORTEST) for vectors in (x, quantized)]
        e, q = x / lengths[0], quantized / lengths[1]
        r = F.normalize(e + q, dim=1)
        scale = lengths[1] / lengths[0]
    along_r, along_e = ((unit * x).sum(dim=1, keepdim=True) for unit in (r, e))
    turned = scale * (x - 2 * along_r * r + 2 * along_e * q)
    return quantized + (turned - turned.detach())


def straight_through(quantized: Tensor, x: Tensor) -> Tensor:
    """``quantized`` itself, which is written to by nobody else, with the gradient of ``x``."""
    return _StraightThrough.apply(quantized, x)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, quantized: Tensor, x: Tensor) -> Tensor:
        del x
        ctx.mark_dirty(quantized)
        return quantized

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[None, Tensor]:
        del ctx
        return None, gradient[0]
