"""Indices of codes, held against the codebooks that they are said to be of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rvq_core.clips.arrays import UNTIMED
from rvq_core.clips.clip import Clip
from rvq_core.errors import ClipError


def fit_indices(clip: Clip, codes: Sequence[int], tokens_per_second: float | None) -> Clip:
    """Return a clip of indices [T', Q] as layers with so many ``codes`` each take it, timed where that is known.

    One row [1, T'] is turned where there is one layer: so T2M-GPT and MotionGPT write it. Raises ClipError where the
    layers, or an index, are not the checkpoint's.
    """
    indices = clip.features
    if len(codes) == 1 and indices.shape[0] == 1:
        indices = np.ascontiguousarray(indices.T)
    where = str(clip.source or clip.name)
    if indices.shape[1] != len(codes):
        raise ClipError(
            where,
            expected=f"indices [T', {len(codes)}], a column for each layer of the checkpoint",
            found=f"{list(indices.shape)}",
            do="give the indices that this checkpoint made, all its layers",
        )
    for layer, (highest, size) in enumerate(zip(indices.max(axis=0).astype(int), codes, strict=True), start=1):
        if highest >= size:
            raise ClipError(
                where,
                expected=f"indices in 0..{size - 1}, the {size} codes of layer {layer}",
                found=str(highest),
                do="give the checkpoint that these indices are of, and leave out end and padding tokens",
            )
    if clip.fps != UNTIMED or tokens_per_second is None:
        return replace(clip, features=indices)
    note = f"{tokens_per_second:g} tokens a second, as the checkpoint takes motion"
    return replace(clip, features=indices, fps=tokens_per_second, notes=(*clip.notes, note))
