"""Long clips through a convolutional model in pieces, so that memory does not grow with their length.

Each piece is given with as much of its surroundings as a convolution can reach, and that margin's results are thrown
away: every number comes from the same inputs as in one pass, to rounding (1e-6 of its size).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig

if TYPE_CHECKING:
    from rvq_core.loading.checkpoint import MotionModel

PIECE_FRAMES = 16_384
"""Frames of a piece: enough to fill the processor."""


def encode_in_pieces(model: MotionModel, features: Tensor) -> Tensor:
    """Normalised features [T, D], T a multiple of the stride -> latents [1, C, T']."""
    if len(features) <= PIECE_FRAMES or not is_local(model):
        return model.encode(features[None])
    stride = model.config.stride
    margin = _latents_reached(model.config)

    def run(begin: int, end: int) -> Tensor:
        return model.encode(features[None, begin * stride : end * stride])

    return torch.cat(_pieces(len(features) // stride, PIECE_FRAMES // stride, margin, run, 1, axis=2), dim=2)


def decode_in_pieces(model: MotionModel, latents: Tensor) -> Tensor:
    """Latents [V, C, T'] -> normalised motion [V, T, D]."""
    upsampling = 2**model.config.down_t
    if latents.shape[2] * upsampling <= PIECE_FRAMES or not is_local(model):
        return model.decode(latents)
    margin = _latents_reached(model.config)

    def run(begin: int, end: int) -> Tensor:
        return model.decode(latents[:, :, begin:end])

    return torch.cat(_pieces(latents.shape[2], PIECE_FRAMES // upsampling, margin, run, upsampling, axis=1), dim=1)


def _pieces(
    total: int, size: int, margin: int, run: Callable[[int, int], Tensor], scale: int, axis: int
) -> list[Tensor]:
    """Results of ``run(begin, end)`` for pieces of ``size`` latents, their margins cut off along ``axis``.

    ``scale`` is how many positions of the result one latent has.
    """
    size = max(1, size)
    parts: list[Tensor] = []
    for begin in range(0, total, size):
        end = min(total, begin + size)
        start = max(0, begin - margin)
        found = run(start, min(total, end + margin))
        parts.append(found.narrow(axis, (begin - start) * scale, (end - begin) * scale).clone())
    return parts


def is_local(model: MotionModel) -> TypeGuard[RVQVAE]:
    """Whether results depend on their surroundings alone; GroupNorm takes in all of the time."""
    return isinstance(model, RVQVAE) and model.config.norm != "GN"


def _latents_reached(config: RVQVAEConfig) -> int:
    """How many latents before and after its own a result of encoder or decoder can depend on, at most."""
    dilations = sum(config.dilation_growth_rate**power for power in range(config.depth))
    # The encoder, in frames: its first convolution; in each halving a kernel of two strides, then the residual blocks
    # at the coarser step; its last convolution.
    frames, step = 1, 1
    for _ in range(config.down_t):
        frames += 2 * config.stride_t * step
        step *= config.stride_t
        frames += dilations * step
    # The decoder, in latents: its first convolution, then at ever finer steps the residual blocks and a convolution
    # (together less than twice those of the first), and two at the end.
    decoder = 1 + (2 * (dilations + 1) if config.down_t else 0) + 2
    return max(-(-(frames + step) // step), decoder) + 1
