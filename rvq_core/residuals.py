"""What each layer gets to quantize: the latents less the codes of the layers before, a sample of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import TOKENS
from rvq_core.errors import ClipError
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.tokens import Pipeline

MOST_TOKENS = 20_000
MOST_DISTANCES = 1 << 28
"""Distances of tokens to codes, all layers together: with very many codes fewer tokens are taken."""


def residual_sample(
    ckpt: Checkpoint, clips: Sequence[Clip], *, tokens: int | None = None, seed: int = 0
) -> list[NDArray[np.float32]]:
    """Vectors [N, C] that each of the Q layers quantizes, at N <= ``tokens`` positions of the clips (MOST_TOKENS).

    Clips are taken in a seeded random order until there are enough; those that the checkpoint cannot take, and those
    that hold indices, are left out. Raises ClipError where none is left.
    """
    if tokens is None:
        tokens = min(MOST_TOKENS, max(MOST_DISTANCES // sum(map(len, ckpt.codebooks)), 1))
    pipeline, found, count = Pipeline(ckpt), list[Tensor](), 0
    for i in np.random.default_rng(seed).permutation(len(clips)).tolist():
        if count >= tokens:
            break
        if clips[i].representation == TOKENS.name:
            continue  # codes that were chosen tell no latents
        try:
            latents = pipeline.latents(pipeline.fit(clips[i]))
        except ClipError:
            continue  # the report lists it, with the reason
        found.append(latents[:, : tokens - count])
        count += found[-1].shape[1]
    if not found:
        raise ClipError(
            "encoder residuals", expected="a clip of motion or latents that fits the checkpoint",
            found=f"none of {len(clips)}", do="choose other clips",
        )  # fmt: skip
    inner, _, partial = pipeline.quantize(torch.cat(found, dim=1))
    return list((inner - partial[:-1]).transpose(1, 2).cpu().numpy())  # [Q, N, C]
