"""Reader of ``.npz`` files: SMPL-X (BEAT2) and SMPL-H (AMASS) poses, or one array of features (see ``arrays``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from rvq_core.clips.arrays import clips_of_array
from rvq_core.clips.checks import RATE_BY_HAND, as_frames, check_fps, shown
from rvq_core.clips.clip import Clip
from rvq_core.clips.motion import SmplxMotion
from rvq_core.clips.smplx import JOINTS, SMPLH_IN_SMPLX, canonical_skeleton
from rvq_core.errors import ClipError, RVQLensError
from rvq_core.limits import refuse_unpacking, unpacked_size

_FPS_KEYS = ("mocap_frame_rate", "mocap_framerate")
# BEAT2 is y up; AMASS is z up, in its SMPL-H release (156 values) and in its SMPL-X one, which adds these keys.
_AMASS_KEYS = frozenset({"surface_model_type", "mocap_time_length"})
_KNOWN_BESIDE_POSES = frozenset({"trans", "betas", "gender", "model", "expressions", "dmpls"})
# Under these names an archive without poses may hold features; the first counts. `arr_0` is what numpy calls one.
_FEATURE_KEYS = ("features", "motion", "data", "arr_0")
_FEATURE_FPS_KEYS = ("fps", "framerate", "frame_rate")
_Y_FROM_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def read_npz(
    path: Path,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,  # noqa: ARG001 - every reader is called alike
) -> Clip | list[Clip]:
    """Read `poses` (T, 165 or 156 axis-angle values), `trans` (T, 3) and the frame rate, as a smplx_rot6d clip.

    An archive without poses that holds one array (or one named `features`, `motion`, `data`) is taken as features
    are, with the frame rate that it names. ``fps`` counts where the file names none, or (a note says so) one that
    cannot be. Only these arrays are read, and no pickle ever.
    """
    arrays = _read_arrays(path)
    if "poses" not in arrays:
        key = next(name for name in arrays if name not in _FPS_KEYS + _FEATURE_FPS_KEYS)
        rate, notes = _named_fps(arrays, path, fps)
        rate = fps if rate is None else rate
        found = clips_of_array(arrays[key], path, shown(path, key), representation=representation, fps=rate)
        clips = [replace(clip, notes=(*notes, *clip.notes)) for clip in (found if isinstance(found, list) else [found])]
        return clips if isinstance(found, list) else clips[0]
    return _from_poses(arrays, path, fps)


def _from_poses(arrays: dict[str, NDArray[np.generic]], path: Path, fps: float | None) -> Clip:
    poses = as_frames(arrays["poses"], shown(path, "poses"), columns=(165, 156))
    trans = None
    if "trans" in arrays:
        trans = as_frames(arrays["trans"], shown(path, "trans"), columns=(3,))
        _check_length(trans, poses, path)
    rate, notes = _frame_rate(arrays, path, fps)
    rotations, posed = _smplx_rotations(poses)
    notes = (*notes, *posed)
    if poses.shape[1] == 156 or _AMASS_KEYS & arrays.keys():
        rotations, trans = _to_y_up(rotations, trans)
        notes = (*notes, "turned from z up to y up")
    return SmplxMotion(rotations, trans, rate, notes).to_clip(path.stem, path)


def _read_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        # Opened here, because numpy leaves its own file open when the archive turns out to be broken.
        with path.open("rb") as file:
            archive: NDArray[np.generic] | np.lib.npyio.NpzFile = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _not_an_archive(path, "a single array")
            return _pick_arrays(archive, path)
    except RVQLensError:
        raise
    except Exception as error:  # numpy and zipfile raise what they happen to meet in a damaged file
        raise _not_an_archive(path, f"{type(error).__name__}: {error}") from error


def _pick_arrays(archive: np.lib.npyio.NpzFile, path: Path) -> dict[str, NDArray[np.generic]]:
    names = set(archive.files)
    if "poses" not in names:
        return _pick_features(archive, path)
    # The presence of these keys says what the file is; their content may be of any kind and is not read.
    arrays: dict[str, NDArray[np.generic]] = {key: np.empty(0) for key in _AMASS_KEYS & names}
    for key in ("poses", "trans", *_FPS_KEYS):
        if key in names:
            arrays[key] = _member(archive, key, path)
    return arrays


def _member(archive: np.lib.npyio.NpzFile, key: str, path: Path) -> NDArray[np.generic]:
    """An array of the archive: of a member that is none numpy gives the bytes."""
    refuse_unpacking(unpacked_size(archive, [key]), path.stat().st_size, shown(path, key), ClipError)
    found = cast(object, archive[key])
    if not isinstance(found, np.ndarray):
        raise _not_an_archive(path, f"a member {key!r} that is no array")
    return cast(NDArray[np.generic], found)


def _pick_features(archive: np.lib.npyio.NpzFile, path: Path) -> dict[str, NDArray[np.generic]]:
    rates = set(_FPS_KEYS + _FEATURE_FPS_KEYS)
    others = [name for name in archive.files if name not in rates | _KNOWN_BESIDE_POSES]
    chosen = next((name for name in _FEATURE_KEYS if name in others), others[0] if len(others) == 1 else None)
    if chosen is None:
        raise ClipError(
            str(path),
            expected="an array `poses`, or one array of features",
            found=", ".join(sorted(archive.files)) or "no array",
            do="give BEAT2 or AMASS motion, or features alone, under the name `features`",
        )
    return {name: _member(archive, name, path) for name in archive.files if name == chosen or name in rates}


def _not_an_archive(path: Path, found: str) -> ClipError:
    return ClipError(str(path), expected="an .npz archive of plain numbers", found=found, do="save it with numpy.savez")


def _check_length(trans: NDArray[np.float64], poses: NDArray[np.float64], path: Path) -> None:
    if len(trans) != len(poses):
        raise ClipError(
            shown(path, "trans"),
            expected=f"{len(poses)} frames as in `poses`",
            found=f"{len(trans)} frames",
            do="save both arrays with the same frames",
        )


def _frame_rate(arrays: dict[str, NDArray[np.generic]], path: Path, fps: float | None) -> tuple[float, tuple[str, ...]]:
    named, notes = _named_fps(arrays, path, fps)
    if named is not None:
        return named, notes
    if fps is None:
        raise ClipError(
            str(path),
            expected=f"a frame rate in {' or '.join(_FPS_KEYS)}",
            found="neither",
            do=f"save it in the file under this name, or {RATE_BY_HAND}",
        )
    return check_fps(fps, "fps"), ()


def _named_fps(
    arrays: dict[str, NDArray[np.generic]], path: Path, fps: float | None
) -> tuple[float | None, tuple[str, ...]]:
    """The frame rate that the file names, None where it names none, and notes; ``fps`` where that cannot be one."""
    key = next((key for key in (*_FPS_KEYS, *_FEATURE_FPS_KEYS) if key in arrays), None)
    if key is None:
        return None, ()
    try:
        return _checked_fps(arrays[key], shown(path, key)), ()
    except ClipError as error:
        if fps is None:
            raise
        return check_fps(fps, "fps"), (f"{fps:g} frames a second as given: {key} of the file is {error.found}",)


def _checked_fps(value: NDArray[np.generic], where: str) -> float:
    do = f"correct this entry of the file, or {RATE_BY_HAND}"
    if value.size != 1 or not np.issubdtype(value.dtype, np.number):
        raise ClipError(where, expected="one number", found=f"{value.dtype} x {value.size}", do=do)
    return check_fps(float(value.reshape(()).astype(np.float64)), where, do)


def _smplx_rotations(poses: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Local matrices [T, 55, 3, 3] from axis-angle values [T, 165] or [T, 156]."""
    vectors = poses.reshape(len(poses), -1, 3)
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape[:2], 3, 3)
    if vectors.shape[1] == JOINTS:
        return matrices, ()
    rotations = np.tile(np.eye(3), (len(poses), JOINTS, 1, 1))
    rotations[:, SMPLH_IN_SMPLX] = matrices
    return rotations, ("SMPL-H poses: jaw and eyes at rest",)


def _to_y_up(
    rotations: NDArray[np.float64], trans: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    turned = rotations.copy()
    turned[:, 0] = _Y_FROM_Z_UP @ rotations[:, 0]
    if trans is None:
        return turned, None
    # SMPL turns about the pelvis and then adds `trans`: in AMASS `trans` is nearly the pelvis itself, because the rest
    # pose's offset lies in the model's y, which is level in a z-up world. The offset of ours is taken off again.
    return turned, trans @ _Y_FROM_Z_UP.T - canonical_skeleton().offsets[0]
