"""Reader of ``.npy`` files: features, joints, latents or indices of codes (see ``arrays``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.clips.arrays import clips_of_array
from rvq_core.clips.clip import Clip
from rvq_core.errors import ClipError


def read_npy(
    path: Path,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - every reader is called alike
) -> Clip | list[Clip]:
    """Read the array of a file, as ``clips_of_array`` takes it. A pickle is never opened."""
    return clips_of_array(_read_array(path), path, str(path), representation=representation, fps=fps)


def _read_array(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as file:
            array: NDArray[np.generic] | np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
    except Exception as error:  # numpy raises what it happens to meet in a damaged file
        raise _not_an_array(path, f"{type(error).__name__}: {error}") from error
    if isinstance(array, np.lib.npyio.NpzFile):
        raise _not_an_array(path, "an .npz archive")
    return array


def _not_an_array(path: Path, found: str) -> ClipError:
    return ClipError(str(path), expected="an .npy array of plain numbers", found=found, do="save it with numpy.save")
