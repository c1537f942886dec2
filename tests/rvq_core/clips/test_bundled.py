"""The bundled clips, and the script that makes them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rvq_core.clips import load_clips, resample_clip
from rvq_core.clips.representations import SMPLX_ROT6D

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "clips" / "make_clips.py"


def make(source: Path, out: Path) -> subprocess.CompletedProcess:
    code = f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, str(SCRIPT), str(source), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def body(clip) -> np.ndarray:
    return SMPLX_ROT6D.joints(torch.from_numpy(clip.features), first=22).numpy()


@pytest.fixture
def motion(frame, write_deepmimic):
    frames = [frame(1 / 60, (0.01 * t, 0.88, 0.02 * t), left_knee=-0.03 * t, right_elbow=0.02 * t) for t in range(40)]
    return write_deepmimic(frames, "humanoid3d_test.txt")


def test_a_clip_is_the_motion_it_was_made_from(motion, tmp_path):
    done = make(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "| `humanoid3d_test.npz` | 40 | 60 | 0.67 |\n"
    direct, made = (resample_clip(load_clips(path)[0], 30) for path in (motion, tmp_path / "out"))
    assert (direct.name, direct.fps, direct.frames) == (made.name, made.fps, made.frames)
    assert np.abs(body(direct) - body(made)).max() < 1e-5
    np.testing.assert_allclose(direct.translation, made.translation, atol=1e-5)


def test_the_same_input_gives_the_same_bytes_from_a_wheel_too(motion, tmp_path):
    wheel = tmp_path / "pybullet.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(motion, "pybullet_data/data/motions/humanoid3d_test.txt")
        archive.writestr("pybullet_data/data/motions/laikago_walk.txt", "no humanoid")
    make(tmp_path, tmp_path / "one")
    make(wheel, tmp_path / "two")
    one, two = (tmp_path / name / "humanoid3d_test.npz" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["humanoid3d_test.npz"]


def test_a_long_take_is_thinned_and_cut_into_parts(person, write_bvh, tmp_path):
    swing = 30 * np.sin(np.arange(31 * 120) / 60)
    take = write_bvh(
        person(len(swing), frame_time="0.00833333").turned(LeftArm_Z=-swing, RightArm_Z=swing), "01_03.bvh"
    )
    write_bvh(person(9), "01_02.bvh")  # not one of those that are bundled
    done = make(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    parts = load_clips(tmp_path / "out")
    assert [part.name for part in parts] == ["01_03_part1", "01_03_part2", "01_03_part3"]
    assert all(part.fps == 30 and part.seconds <= 15 for part in parts)
    whole = load_clips(take)[0]
    together = np.concatenate([body(part) for part in parts])
    assert np.abs(together - body(whole)[::4]).max() < 1e-5


def test_a_source_without_motions_is_refused(tmp_path):
    done = make(tmp_path, tmp_path / "out")
    assert done.returncode == 2
    assert "expected humanoid3d_*.txt or 01_01.bvh, 01_03.bvh, found none" in done.stderr


def test_every_bundled_clip_stands_in_the_readme():
    clips = load_clips(ROOT / "clips")
    assert len(clips) == 20
    assert sum(clip.name.startswith("humanoid3d_") for clip in clips) == 15
    assert 90 < sum(clip.seconds for clip in clips) < 100
    table = (ROOT / "clips" / "README.md").read_text(encoding="utf-8")
    for clip in clips:
        assert f"| `{clip.name}.npz` | {clip.frames} | {clip.fps:g} | {clip.seconds:.2f} |" in table
        assert clip.translation is not None
        assert clip.seconds <= 15


@pytest.mark.parametrize("take", ["01_01", "01_03"])
def test_the_bundled_parts_are_cmu_s(shared, take):
    source = load_clips(shared(f"cmu_bvh/{take}.bvh"))[0]
    bundled = load_clips(sorted((ROOT / "clips").glob(f"{take}_part*.npz")))
    assert np.abs(np.concatenate([body(part) for part in bundled]) - body(source)[::4]).max() < 1e-5


@pytest.mark.parametrize("name", ["walk", "roll", "cartwheel"])
def test_the_bundled_clips_are_deepmimic_s(shared, name):
    source = load_clips(shared(f"deepmimic/humanoid3d_{name}.txt"))[0]
    bundled = load_clips(ROOT / "clips" / f"humanoid3d_{name}.npz")[0]
    assert (source.fps, source.frames) == (bundled.fps, bundled.frames)
    assert np.abs(body(source) - body(bundled)).max() < 1e-5
