from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from motion_files import ASF_BONES, Source, amc_text, asf_text, deepmimic_frame

from rvq_core.clips.representations import SMPLX_ROT6D
from rvq_core.clips.smplx import JOINT_NAMES

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "motion"


@pytest.fixture
def person() -> Callable[..., Source]:
    return Source


@pytest.fixture
def write_bvh(tmp_path: Path) -> Callable[..., Path]:
    def write(source, name: str = "clip.bvh") -> Path:
        path = tmp_path / name
        text = source.text() if isinstance(source, Source) else source
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def write_amc(tmp_path: Path) -> Callable[..., Path]:
    def write(frames=({}, {}), name: str = "a.amc", skeleton: str = "a.asf", *, asf: str | None = None, **more) -> Path:
        (tmp_path / skeleton).write_text(asf or asf_text())
        path = tmp_path / name
        path.write_text(frames if isinstance(frames, str) else amc_text(frames, **more))
        return path

    return write


@pytest.fixture
def make_asf() -> Callable[..., str]:
    return asf_text


@pytest.fixture
def asf_bones() -> dict:
    return dict(ASF_BONES)


@pytest.fixture
def make_amc() -> Callable[..., str]:
    return amc_text


@pytest.fixture
def body() -> Callable[..., list[dict[str, np.ndarray]]]:
    """One dictionary of joint positions for each frame of a smplx_rot6d clip."""

    def pose(clip):
        rotations = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features))
        joints = clip.skeleton.forward_kinematics(rotations, torch.from_numpy(clip.translation)).numpy()
        return [dict(zip(JOINT_NAMES, frame, strict=True)) for frame in joints]

    return pose


@pytest.fixture
def shared() -> Callable[[str], Path]:
    def find(name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"needs ../shared/motion/{name}, which is not part of the repository")
        return SHARED / name

    return find


@pytest.fixture
def frame() -> Callable[..., list[float]]:
    return deepmimic_frame


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
