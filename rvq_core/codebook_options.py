"""Options of an EMA codebook that change how it is trained; each is off by default."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class CodebookOptions:
    """How a codebook begins, is reset, and what its codes are kept to. Raises ValueError for values out of range.

    ``kmeans_init``: it begins as the means that ten rounds of k-means find in the first batch, not as random tokens
    (Zeghidour et al. 2021, SoundStream).
    ``reset_every`` n: codes below the threshold are reset at every n-th update alone, and follow their mean until then
    (codes are taken anew from data at intervals by Łańcucki et al. 2020); 1 is every update.
    ``cosine``: codes have length 1 and follow tokens that are scaled to it, so that the nearest is that of the smallest
    angle (Yu et al. 2022, ViT-VQGAN).
    ``orthogonality`` w: after each update codes take a step of w down the gradient of ``orthogonality_penalty``
    (Shin et al. 2023, translation-equivariant image quantizer; an EMA codebook has no optimizer that takes the step).
    """

    kmeans_init: bool = False
    reset_every: int = 1
    cosine: bool = False
    orthogonality: float = 0.0

    def __post_init__(self) -> None:
        if self.reset_every < 1:
            raise ValueError(f"reset_every must be at least 1, got {self.reset_every}")
        if self.orthogonality < 0:
            raise ValueError(f"orthogonality must be at least 0, got {self.orthogonality}")


PLAIN = CodebookOptions()
"""None of them."""


def unit_rows(rows: Tensor) -> Tensor:
    """Rows [N, C] at length 1; rows without length stay 0."""
    return F.normalize(rows, dim=1)


def orthogonality_penalty(codebook: Tensor) -> Tensor:
    """Mean square [] of the entries of U U^T - I, U the codes [K, C] at length 1: how far they are from orthogonal."""
    units = unit_rows(codebook)
    identity = torch.eye(len(units), dtype=units.dtype, device=units.device)
    return (units @ units.T - identity).square().mean()


def less_parallel(codebook: Tensor, weight: float) -> Tensor:
    """Codes [K, C] after a step of ``weight`` down the gradient of their ``orthogonality_penalty``."""
    with torch.enable_grad():
        codes = codebook.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(orthogonality_penalty(codes), codes)
    return codebook - weight * gradient
