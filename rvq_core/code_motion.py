"""What a code looks like as movement: a latent held for a while, and the way from one latent to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rvq_core.clips.representations import get_representation
from rvq_core.clips.skeleton import Skeleton
from rvq_core.tokens import Pipeline

HELD_TOKENS = 12
"""Tokens for which a latent is held: the decoder sees further than one, and the middle is free of the ends."""

Vectors = NDArray[np.floating[Any]]
Joints = NDArray[np.float32]


def decode_held(
    pipeline: Pipeline, vectors: Vectors, representation: str, skeleton: Skeleton | None, tokens: int = HELD_TOKENS
) -> Joints | None:
    """Joints [N, T, J, 3] in metres of latents [N, C] in the codes' space, each held for ``tokens`` tokens.

    None where nothing can be decoded, or where ``representation`` does not tell joint positions.
    """
    if pipeline.model is None:
        return None
    raw = _decode(pipeline, torch.from_numpy(np.asarray(vectors, dtype=np.float32))[:, :, None].expand(-1, -1, tokens))
    kind = get_representation(representation)
    joints = kind.joints(raw, kind.default_skeleton() or skeleton)
    return None if joints is None else joints.cpu().numpy().astype(np.float32)


def average_of_others(codebooks: Sequence[Vectors], shares: Sequence[Vectors], layer: int) -> NDArray[np.float64]:
    """What the layers other than ``layer`` (1-based) add up to on average [C]: their codes [K, C] by ``shares`` [K]."""
    total = np.zeros(codebooks[0].shape[1])
    for number, (codebook, share) in enumerate(zip(codebooks, shares, strict=True), start=1):
        if number != layer:
            total += np.nan_to_num(share.astype(np.float64)) @ codebook.astype(np.float64)
    return total


def line_between(start: Vectors, end: Vectors, steps: int) -> NDArray[np.float64]:
    """``steps`` latents [steps, C] evenly along the line from ``start`` [C] to ``end`` [C], both among them."""
    return np.linspace(start.astype(np.float64), end.astype(np.float64), steps)


@torch.inference_mode()
def _decode(pipeline: Pipeline, held: torch.Tensor) -> torch.Tensor:
    """Raw features [N, T, D] of latents [N, C, T'] in the codes' space."""
    assert pipeline.model is not None
    latents = pipeline.quantizer.from_code_space(held.to(pipeline.device))
    return pipeline.restore(pipeline.model.decode(latents))
