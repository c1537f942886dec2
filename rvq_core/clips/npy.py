"""Reader of ``.npy`` files: motion features [T, D], or latents [B, C, T'] of an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.checks import UNREADABLE, as_frames, check_fps
from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import LATENTS, Representation, get_representation, guess_representation
from rvq_core.errors import ClipError

_ASSUMED_FPS = 30.0
_SPACE = 3
"""Joint positions [T, J, 3] have as many dimensions as latents; their last one is never the time."""


def read_npy(
    path: Path,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - every reader is called alike
) -> Clip | list[Clip]:
    """Read features [T, D]; D tells the representation unless it is given. A pickle is never opened.

    The file has no frame rate: ``fps``, or the one usual for the representation, or 30 (a note says so). Three
    dimensions are latents [B, C, T'], one clip for each of the B.
    """
    array = _read_array(path)
    if array.ndim == 3 and array.shape[2] != _SPACE:
        return _latents(array, path, fps)
    features = as_frames(array, str(path))
    kind = _representation(features, representation, path)
    rate, notes = _frame_rate(kind, fps)
    return Clip(path.stem, rate, features.astype(np.float32), kind.name, kind.default_skeleton(), None, path, notes)


def _latents(array: NDArray[np.generic], path: Path, fps: float | None) -> list[Clip]:
    """One clip a sequence, with features [T', C]."""
    rate = 1.0 if fps is None else check_fps(fps, "fps")
    notes = ("latents of an encoder: nothing is decoded", *(() if fps else ("a second stands for one token",)))
    return [
        Clip(
            path.stem if len(array) == 1 else f"{path.stem}[{number}]", rate,
            as_frames(latents.T, f"{path}[{number}]").astype(np.float32), LATENTS.name, None, None, path, notes,
        )
        for number, latents in enumerate(array)
    ]  # fmt: skip


def _read_array(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as file:
            array: NDArray[np.generic] | np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
    except UNREADABLE as error:
        raise _not_an_array(path, f"{type(error).__name__}: {error}") from error
    if isinstance(array, np.lib.npyio.NpzFile):
        raise _not_an_array(path, "an .npz archive")
    return array


def _not_an_array(path: Path, found: str) -> ClipError:
    return ClipError(str(path), expected="an .npy array of plain numbers", found=found, do="save it with numpy.save")


def _representation(features: NDArray[np.float64], name: str | None, path: Path) -> Representation:
    dim = features.shape[1]
    if name is None:
        return guess_representation(dim)
    kind = get_representation(name)
    if not kind.fits(dim):
        raise ClipError(
            str(path),
            expected=f"D = {kind.dim} ({name})",
            found=f"D = {dim}",
            do=f"leave the representation out, or give {guess_representation(dim).name}",
        )
    return kind


def _frame_rate(kind: Representation, fps: float | None) -> tuple[float, tuple[str, ...]]:
    if fps is not None:
        return check_fps(fps, "fps"), ()
    rate = kind.fps or _ASSUMED_FPS
    return rate, (f"{rate:g} frames a second assumed: the file names no frame rate",)
