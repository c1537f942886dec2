"""What a code looks like as movement: it comes and goes, is held for a while, or becomes another one on a line."""

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

AROUND_TOKENS = 4
"""Tokens before a code comes and after it went, so that the movement to it and from it is seen."""

WAY_TOKENS = 16
"""Tokens that the way from one latent to another takes."""

Vectors = NDArray[np.floating[Any]]
Joints = NDArray[np.float32]


def decode_held(
    pipeline: Pipeline, vectors: Vectors, representation: str, skeleton: Skeleton | None, tokens: int = HELD_TOKENS
) -> Joints | None:
    """Joints [N, T, J, 3] in metres of latents [N, C] in the codes' space, each held for ``tokens`` tokens.

    None where nothing can be decoded, or where ``representation`` does not tell joint positions.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    return decode_joints(pipeline, np.repeat(vectors[:, :, None], tokens, axis=2), representation, skeleton)


def decode_joints(
    pipeline: Pipeline, latents: Vectors, representation: str, skeleton: Skeleton | None
) -> Joints | None:
    """Joints [N, T, J, 3] in metres of latents [N, C, T'] in the codes' space; None as for ``decode_held``."""
    if pipeline.model is None:
        return None
    raw = _decode(pipeline, torch.from_numpy(np.asarray(latents, dtype=np.float32)))
    kind = get_representation(representation)
    joints = kind.joints(raw, kind.default_skeleton() or skeleton)
    return None if joints is None else joints.cpu().numpy().astype(np.float32)


def come_and_go(code: Vectors, without: Vectors, held: int = HELD_TOKENS) -> NDArray[np.float64]:
    """Latents [C, T'] in which ``code`` [C] comes onto ``without`` [C], is held for ``held`` tokens, and goes."""
    on = np.zeros(held + 2 * AROUND_TOKENS)
    on[AROUND_TOKENS : AROUND_TOKENS + held] = 1.0
    return without.astype(np.float64)[:, None] + code.astype(np.float64)[:, None] * on


def share_of_way() -> NDArray[np.float64]:
    """How far each token of a way is along the line, 0 to 1 [T']: it stays at both ends for a while."""
    return np.concatenate([np.zeros(AROUND_TOKENS), np.linspace(0.0, 1.0, WAY_TOKENS), np.ones(AROUND_TOKENS)])


def way_in_time(start: Vectors, end: Vectors) -> NDArray[np.float64]:
    """Latents [C, T'] that go along the line from ``start`` [C] to ``end`` [C], as ``share_of_way`` has it."""
    begin = start.astype(np.float64)[:, None]
    return begin + (end.astype(np.float64)[:, None] - begin) * share_of_way()


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
