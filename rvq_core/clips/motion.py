"""Posed SMPL-X motion, between a reader and the clip made of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.clip import Clip
from rvq_core.clips.smplx import canonical_skeleton


class SmplxMotion(NamedTuple):
    """``rotations`` [T, 55, 3, 3] local; ``translation`` [T, 3] as SMPL-X's `trans`, metres, y up; or None."""

    rotations: NDArray[np.float64]
    translation: NDArray[np.float64] | None
    fps: float
    notes: tuple[str, ...] = ()

    def to_clip(self, name: str, source: Path | None = None) -> Clip:
        """Write the rotations as ``smplx_rot6d`` features: two rows of each matrix, 330 columns."""
        features = self.rotations[..., :2, :].reshape(len(self.rotations), -1).astype(np.float32)
        translation = None if self.translation is None else self.translation.astype(np.float32)
        return Clip(name, self.fps, features, "smplx_rot6d", canonical_skeleton(), translation, source, self.notes)
