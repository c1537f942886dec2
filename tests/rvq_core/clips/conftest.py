from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "motion"

# First column of each joint in a DeepMimic frame.
COLUMNS = {
    "root": 4, "chest": 8, "neck": 12, "right_hip": 16, "right_knee": 20, "right_ankle": 21, "right_shoulder": 25,
    "right_elbow": 29, "left_hip": 30, "left_knee": 34, "left_ankle": 35, "left_shoulder": 39, "left_elbow": 43,
}  # fmt: skip


@pytest.fixture
def shared() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"needs ../shared/motion/{name}, which is not part of the repository")
        return SHARED / name

    return find


@pytest.fixture
def frame() -> Callable[..., list[float]]:
    """A DeepMimic frame: the rest pose (arms hanging) with some joints turned: quaternion wxyz, or an angle."""

    def make(duration: float = 1 / 30, position=(0.0, 0.88, 0.0), **turns) -> list[float]:
        row = [0.0] * 44
        row[0], row[1:4] = duration, position
        for name, column in COLUMNS.items():
            if not name.endswith(("knee", "elbow")):
                row[column] = 1.0
        for name, turn in turns.items():
            values = [turn] if np.isscalar(turn) else list(turn)
            row[COLUMNS[name] : COLUMNS[name] + len(values)] = values
        return row

    return make


@pytest.fixture
def write_deepmimic(tmp_path: Path) -> Callable[..., Path]:
    def write(frames, name: str = "motion.txt", **more) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"Loop": "wrap", **more, "Frames": frames}))
        return path

    return write


@pytest.fixture
def write_npz(tmp_path: Path) -> Callable[..., Path]:
    """A BEAT2-like file of ``frames`` random poses; arrays given by name replace or, as None, remove its own."""

    def write(name: str = "clip.npz", *, frames: int = 12, width: int = 165, **arrays) -> Path:
        rng = np.random.default_rng(0)
        content = {
            "poses": rng.normal(0, 0.4, (frames, width)).astype(np.float32),
            "trans": rng.normal(0, 1, (frames, 3)),
            "mocap_frame_rate": np.array(30),
            **arrays,
        }
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{key: value for key, value in content.items() if value is not None})
        return path

    return write


@pytest.fixture
def write_npy(tmp_path: Path) -> Callable[..., Path]:
    def write(array, name: str = "clip.npy") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.asarray(array))
        return path

    return write
