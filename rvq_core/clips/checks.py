"""What every reader checks of an array before it believes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rvq_core.errors import ClipError

_ROWS_AT_ONCE = 1 << 14
"""Frames looked at together: a clip may be a file of a gigabyte."""


SLOWEST_FPS, FASTEST_FPS = 0.5, 100_000.0
"""Frames a second: a few poses that last for weeks would become billions of frames at a checkpoint's rate."""


RATE_BY_HAND = "give the frame rate in Python: load_clips(..., fps=30)"
"""What to do where a file tells no frame rate, or a wrong one, and cannot be corrected."""


def shown(path: Path, field: str = "") -> str:
    """Name a file, and a field in it, for an error message."""
    return f"{path}: {field}" if field else str(path)


def as_frames(array: NDArray[np.generic], where: str, *, columns: tuple[int, ...] = ()) -> NDArray[np.float64]:
    """Return ``array`` as [T, D] float64, once it is known to be two-dimensional, floating, not empty and finite.

    ``columns`` lists the widths D that are allowed; empty allows any. Raises ``ClipError``.
    """
    check_frames(array, where, columns=columns)
    return array.astype(np.float64)


def check_frames(array: NDArray[np.generic], where: str, *, columns: tuple[int, ...] = ()) -> None:
    """Raise ``ClipError`` where ``array`` is not what ``as_frames`` takes; nothing of its size is made on the way."""
    wanted = f"[T, {' or '.join(map(str, columns))}]" if columns else "[T, D]"
    if array.ndim != 2 or (columns and array.shape[1] not in columns):
        raise ClipError(
            where,
            expected=f"frames by features {wanted}",
            found=f"an array of shape {_shape(array)}",
            do="give one row a frame",
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise ClipError(
            where,
            expected="floating-point motion features",
            found=f"dtype {array.dtype}",
            do="convert the array with astype('float32') if it holds motion",
        )
    if 0 in array.shape:
        raise ClipError(where, expected="at least one frame", found=f"shape {_shape(array)}", do="leave this file out")
    _check_finite(array, where)


def nominal_fps(fps: float) -> float:
    """Round a frame rate that is within 0.01 % of a whole number: 120.00004577 counts as 120."""
    return float(round(fps)) if round(fps) > 0 and abs(fps - round(fps)) <= 1e-4 * fps else float(fps)


def check_fps(fps: float, where: str, do: str = "give another") -> float:
    """Return ``fps`` if motion can have been recorded at it; raises ``ClipError``, which says what to ``do``."""
    if not SLOWEST_FPS <= fps <= FASTEST_FPS:
        raise ClipError(
            where, expected=f"a frame rate above 0, of {SLOWEST_FPS:g} to {FASTEST_FPS:,.0f}", found=f"{fps:g}", do=do
        )  # fmt: skip
    return float(fps)


def _check_finite(frames: NDArray[np.generic], where: str) -> None:
    parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, len(frames), _ROWS_AT_ONCE)]
    broken = [part for part in parts if _not_finite(frames[part]).any()]
    if not broken:
        return
    first = _not_finite(frames[broken[0]])
    frame, column = (int(n) for n in np.argwhere(first)[0])
    frame += broken[0].start
    affected = sum(int(_not_finite(frames[part]).any(axis=1).sum()) for part in broken)
    raise ClipError(
        where,
        expected="finite values",
        found=f"{frames[frame, column]:g} in frame {frame}, column {column} "
        f"({affected} of {len(frames)} frames affected)",
        do="repair or leave out this clip",
    )


def _not_finite(frames: NDArray[np.generic]) -> NDArray[np.bool_]:
    # float32 is what a clip holds: a float64 value beyond its range would silently become inf.
    return ~(np.abs(frames.astype(np.float64)) <= np.finfo(np.float32).max)


def _shape(array: NDArray[np.generic]) -> str:
    return "[" + ", ".join(map(str, array.shape)) + "]"
