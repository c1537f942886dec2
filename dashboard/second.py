"""A second checkpoint on the Codebook map: chosen, and its layers counted on from those of the first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import components, state
from dashboard.analyses import codebooks as codebooks_of
from rvq_core.errors import RVQLensError

ALONE = "no other"
JOINT = (
    "One fit to the codes of both. Of two steps of one run it shows which codes moved and how far. Models trained "
    "independently have latents rotated against each other, even on the same data: that their codes lie together or "
    "apart then says nothing, and Compare matches them by the moments they share."
)


class Second(NamedTuple):
    """Another checkpoint in the same picture."""

    name: str
    path: Path
    sha256: str
    codebooks: list[np.ndarray]


def choose_second(own: list[np.ndarray], layers: tuple[int, ...], part: str | None) -> Second | None:
    """Another checkpoint to draw into the picture; None, and why, where there is none or its latents do not compare.

    Of a set of body parts it is ``part``.
    """
    names = [name for name in state.checkpoints() if name != state.checkpoint_name()]
    if not names:
        return None
    name = st.selectbox(
        "Together with", [ALONE, *names], key="second", bind="query-params", width=340,
        help="Codes of another checkpoint of the same code dimension, placed by one fit to both.",
    )  # fmt: skip
    if name == ALONE:
        return None
    try:
        other = components.opened_beside(name, part).checkpoint
    except RVQLensError as error:
        components.left_out(name, str(error))
        return None
    codebooks = codebooks_of(other)
    here, there = own[0].shape[1], codebooks[0].shape[1]
    if here != there:
        components.left_out(name, f"Its codes have {there} dimensions, those of this checkpoint {here}.")
    elif len(own) > len(layers) and layers[0] > len(codebooks):
        components.left_out(name, f"It has no layer {layers[0]}, only {len(codebooks)}.")
    else:
        return Second(name, other.path, other.sha256, codebooks)
    return None


def joined(layers: tuple[int, ...], before: int, there: int) -> list[int]:
    """Numbers of a second checkpoint's layers behind the ``before`` of the first: those equal to ``layers``, or all."""
    wanted = range(1, there + 1) if len(layers) == before else [layer for layer in layers if layer <= there]
    return [before + layer for layer in wanted]


def with_norms(codes: pd.DataFrame, second: Second) -> pd.DataFrame:
    """The codes of the second checkpoint with their L2 norms."""
    norms = [np.linalg.norm(codebook, axis=1) for codebook in second.codebooks]
    rows = zip(codes["layer"], codes["code"], strict=True)
    return codes.assign(norm=[norms[layer - 1][code] for layer, code in rows])
