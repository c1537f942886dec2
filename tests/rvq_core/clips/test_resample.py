from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from rvq_core.clips.clip import Clip
from rvq_core.clips.npz import read_npz
from rvq_core.clips.representations import HUMANML3D, SMPLX_ROT6D
from rvq_core.clips.resample import resample_clip
from rvq_core.clips.slerp import lerp, locate, slerp
from rvq_core.errors import ClipError


def test_slerp_agrees_with_scipy_for_every_joint(write_npz):
    clip = read_npz(write_npz(frames=25))
    result = resample_clip(replace(clip, fps=24.0), 30)
    source = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features).double()).numpy()
    found = SMPLX_ROT6D.rotations(torch.from_numpy(result.features).double()).numpy()
    times = np.arange(result.frames) / 30
    for joint in range(55):
        expected = Slerp(np.arange(25) / 24, Rotation.from_matrix(source[:, joint]))(np.minimum(times, 1.0)).as_matrix()
        np.testing.assert_allclose(found[:, joint], expected, atol=1e-5)
    for axis in range(3):
        expected = np.interp(times, np.arange(25) / 24, clip.translation[:, axis])
        np.testing.assert_allclose(result.translation[:, axis], expected, atol=1e-6)
    assert result.notes == ("resampled from 24 to 30 fps (slerp)",)


@pytest.mark.parametrize(
    ("frames", "source", "target", "expected"),
    [(25, 24.0, 30, 31), (61, 60.0, 30, 31), (60, 60.0, 30, 30), (2, 60.0, 30, 1), (1, 30.0, 60, 1), (31, 30.0, 60, 61),
     (237, 120.00004577636719, 30, 60), (30001, 120.00004577636719, 30, 7501), (100, 30.0, 12.5, 42)],
)  # fmt: skip
def test_frames_reach_up_to_the_last_source_frame(frames, source, target, expected):
    clip = Clip("c", source, np.zeros((frames, 4), np.float32), "raw")
    result = resample_clip(clip, target)
    assert (result.frames, result.fps) == (expected, target)
    assert (result.frames - 1) / target <= (frames - 1) / source * 1.0001


def test_halving_the_rate_takes_every_second_frame_bit_for_bit(write_npz):
    clip = replace(read_npz(write_npz(frames=21)), fps=60.0)
    result = resample_clip(clip, 30)
    np.testing.assert_allclose(result.features, clip.features[::2], atol=1e-6)
    assert np.array_equal(result.translation, clip.translation[::2])


@pytest.mark.parametrize("fps", [120, 120.00004577636719, 119.995])
def test_a_clip_at_the_rate_is_returned_itself(fps):
    clip = Clip("c", 120.00004577636719, np.zeros((9, 4), np.float32), "raw")
    assert resample_clip(clip, fps) is clip


def test_raw_features_are_interpolated_linearly():
    clip = Clip("c", 10.0, np.array([[0.0, 1], [1, 3], [2, 5]], np.float32), "raw")
    result = resample_clip(clip, 20)
    np.testing.assert_allclose(result.features, [[0, 1], [0.5, 2], [1, 3], [1.5, 4], [2, 5]])
    assert result.notes == ("resampled from 10 to 20 fps (linear)",)


def test_displacements_a_frame_shrink_with_the_frame():
    features = np.zeros((21, 263), np.float32)
    features[:, 2], features[:, 3], features[:, 200] = 0.1, 0.9, 0.5
    clip = Clip("c", 20.0, features, "humanml3d")
    result = resample_clip(clip, 40)
    assert result.features[0, [2, 3, 200]].tolist() == pytest.approx([0.05, 0.9, 0.25])
    ends = [HUMANML3D.joints(torch.from_numpy(c.features))[-1, 0] for c in (clip, result)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)


@pytest.mark.parametrize("fps", [0, -30, float("nan")])
def test_an_impossible_rate_is_refused(fps):
    with pytest.raises(ClipError, match="fps: expected a frame rate above 0"):
        resample_clip(Clip("c", 30.0, np.zeros((9, 4), np.float32), "raw"), fps)


def test_times_outside_take_the_first_and_the_last_frame():
    where = locate(np.array([0.0, 1.0, 3.0]), np.array([-1.0, 0.5, 2.0, 3.0, 9.0]))
    np.testing.assert_allclose(lerp(np.array([[0.0], [10.0], [30.0]]), where)[:, 0], [0, 5, 20, 30, 30])


def test_slerp_takes_the_shorter_arc():
    ends = Rotation.from_rotvec([[0, 0, np.radians(170)], [0, 0, np.radians(-170)]]).as_matrix()[:, None]
    middle = slerp(ends, locate(np.array([0.0, 1.0]), np.array([0.5])))
    assert Rotation.from_matrix(middle[0, 0]).magnitude() == pytest.approx(np.pi)


@pytest.mark.parametrize("fps", [1.8e-6, 1e9])
def test_a_rate_at_which_nothing_is_recorded_is_refused_before_it_becomes_billions_of_frames(fps):
    clip = Clip("slow", fps, np.zeros((12, 4), np.float32), "raw")
    with pytest.raises(ClipError, match=r"slow: frame rate: expected a frame rate above 0, of 0\.5 to 100,000"):
        resample_clip(clip, 30.0)
