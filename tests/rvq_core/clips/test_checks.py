"""What frames of a clip must be."""

import numpy as np
import pytest

from rvq_core.clips import checks
from rvq_core.errors import ClipError


def test_what_is_not_finite_is_found_wherever_it_stands(monkeypatch):
    monkeypatch.setattr(checks, "_ROWS_AT_ONCE", 4)
    frames = np.zeros((11, 3), np.float32)
    checks.check_frames(frames, "x.npy")
    frames[5, 2], frames[10, 0], frames[10, 1] = np.nan, np.inf, -np.inf
    with pytest.raises(ClipError, match=r"nan in frame 5, column 2 \(2 of 11 frames affected\)"):
        checks.check_frames(frames, "x.npy")
