import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.deepmimic import read_deepmimic
from rvq_core.clips.representations import SMPLX_ROT6D
from rvq_core.clips.smplx import JOINT_NAMES
from rvq_core.errors import ClipError


def positions(clip):
    """One dictionary of joint positions for each frame."""
    rotations = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features))
    joints = clip.skeleton.forward_kinematics(rotations, torch.from_numpy(clip.translation)).numpy()
    return [dict(zip(JOINT_NAMES, frame, strict=True)) for frame in joints]


@pytest.fixture
def pose(frame, write_deepmimic):
    """Joint positions of one DeepMimic frame after retargeting."""
    return lambda **turns: positions(read_deepmimic(write_deepmimic([frame(**turns)])))[0]


def quaternion(axis, degrees):
    return np.roll(Rotation.from_rotvec(np.radians(degrees) * np.array(axis)).as_quat(), 1)


def test_the_rest_pose_stands_upright_facing_z_with_hanging_arms(pose):
    at = pose()
    assert at["head"][1] > at["neck"][1] > at["pelvis"][1] > at["left_knee"][1] > at["left_ankle"][1]
    for side, sign in (("left", 1), ("right", -1)):
        assert sign * at[f"{side}_hip"][0] > 0
        np.testing.assert_allclose(at[f"{side}_elbow"] - at[f"{side}_shoulder"], [0, -0.30, 0], atol=1e-6)
        np.testing.assert_allclose(at[f"{side}_wrist"] - at[f"{side}_elbow"], [0, -0.25, 0], atol=1e-6)
        np.testing.assert_allclose(at[f"{side}_foot"] - at[f"{side}_ankle"], [sign * 0.02, -0.05, 0.13], atol=1e-6)
        # Palms face the thighs and thumbs point forward.
        assert at[f"{side}_thumb3"][2] > at[f"{side}_wrist"][2]
    assert at["left_eye"][2] > at["head"][2]
    assert abs(at["left_ankle"][1] - 0.065) < 0.02


def test_a_negative_knee_brings_the_shin_behind(pose):
    rest, bent = pose(), pose(left_knee=-1.0)
    assert bent["left_ankle"][2] < rest["left_ankle"][2] - 0.2
    assert bent["left_ankle"][0] > 0
    np.testing.assert_allclose(bent["right_ankle"], rest["right_ankle"], atol=1e-6)
    np.testing.assert_allclose(bent["left_knee"], rest["left_knee"], atol=1e-6)


def test_a_positive_elbow_brings_the_forearm_forward(pose):
    bent = pose(right_elbow=np.pi / 2)
    np.testing.assert_allclose(bent["right_wrist"] - bent["right_elbow"], [0, 0, 0.25], atol=1e-6)
    assert bent["right_elbow"][0] < 0
    assert bent["left_wrist"][2] < 0.1


def test_plus_z_of_the_source_is_the_right(pose):
    # About +x (forward) by 90 degrees, -y goes to -z: an arm so turned points to the left.
    raised = pose(left_shoulder=quaternion([1, 0, 0], 90))
    np.testing.assert_allclose(raised["left_elbow"] - raised["left_shoulder"], [0.30, 0, 0], atol=1e-6)
    moved = pose(position=(1.0, 0.88, 2.0))
    np.testing.assert_allclose(moved["pelvis"] - pose()["pelvis"], np.array([-2, 0, 1]) * 0.83 / 0.8314, atol=1e-6)


def test_the_root_turns_the_whole_body_about_the_hips(pose):
    # A quarter turn to the left (about +y): the body then faces our +x.
    turned = pose(root=quaternion([0, 1, 0], 90))
    assert turned["left_foot"][0] > turned["left_ankle"][0] + 0.1
    # Lying on the back: feet forward, face up, hips where they were.
    lying = pose(root=quaternion([0, 0, 1], 90))
    hips = (lying["left_hip"] + lying["right_hip"]) / 2
    rest = pose()
    np.testing.assert_allclose(hips, (rest["left_hip"] + rest["right_hip"]) / 2, atol=1e-6)
    assert lying["head"][2] < -0.4
    assert lying["left_foot"][1] > lying["left_ankle"][1] + 0.1


def test_a_bow_is_shared_along_the_spine(pose):
    at = pose(chest=quaternion([0, 0, 1], -60))
    assert at["head"][2] > 0.3
    bones = [at[b] - at[a] for a, b in (("pelvis", "spine1"), ("spine1", "spine2"), ("spine2", "spine3"))]
    leans = [np.degrees(np.arctan2(bone[2], bone[1])) for bone in bones]
    np.testing.assert_allclose(np.diff(leans), [20 + 4.76, 20], atol=0.1)  # our first bone leans 4.76 degrees back
    assert at["left_wrist"][2] > at["left_shoulder"][2] - 0.6


def test_frame_rates_of_rounded_durations_become_whole(frame, write_deepmimic):
    for duration, fps in ((0.016666, 60), (0.033332, 30), (0.041667, 24), (0.008333, 120), (0.0625, 16)):
        clip = read_deepmimic(write_deepmimic([frame(duration)] * 4 + [frame(0.0)]))
        assert (clip.fps, clip.frames) == (fps, 5)
        assert not any("resampled" in note for note in clip.notes)


def test_uneven_durations_are_resampled_to_even_times(frame, write_deepmimic):
    angles = [0.0, 0.1, 0.3, 0.4, 0.5]
    durations = [0.1, 0.2, 0.1, 0.1, 0.0]  # the second frame stands twice as long: its turn is as fast as the others
    clip = read_deepmimic(write_deepmimic([frame(d, left_knee=-a) for d, a in zip(durations, angles, strict=True)]))
    assert (clip.fps, clip.frames) == (10, 6)
    assert clip.notes[0] == "frames of uneven duration resampled to 10 fps (slerp)"
    rotations = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features))
    bends = Rotation.from_matrix(rotations[:, JOINT_NAMES.index("left_knee")].numpy()).magnitude()
    np.testing.assert_allclose(bends, [0, 0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-6)


def test_the_last_duration_and_loop_say_nothing(frame, write_deepmimic):
    clips = [
        read_deepmimic(write_deepmimic([frame(), frame(left_knee=-1.0), frame(last)], Loop=loop))
        for last, loop in ((0.0, "none"), (0.7, "wrap"))
    ]
    assert np.array_equal(clips[0].features, clips[1].features)


def test_the_note_says_what_was_mapped_and_what_rests(frame, write_deepmimic):
    note = read_deepmimic(write_deepmimic([frame()])).notes[-1]
    assert note.startswith("retargeted to SMPL-X: 13 joints mapped; spine1, spine2 share the turn of their neighbours")
    assert "left_wrist" in note.split("at rest: ")[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", r"motion\.txt: expected a DeepMimic motion \(JSON with `Frames`\), found JSONDecodeError"),
        ("[1, 2]", "found JSON without a list `Frames`"),
        ("{}", "found JSON without a list `Frames`"),
        ('{"Frames": []}', "found JSON without a list `Frames`"),
        ('{"Frames": [[1, 2], [1]]}', "found `Frames` that are not rows of equally many numbers"),
        ('{"Frames": [["a"]]}', "found `Frames` that are not rows of equally many numbers"),
        ('{"Frames": [[1, 2, 3]]}', r"Frames: expected frames by features \[T, 44\], found an array of shape \[1, 3\]"),
        ('{"Frames": [1, 2]}', r"found an array of shape \[2\]"),
    ],
)
def test_what_is_no_motion_is_named(tmp_path, content, message):
    path = tmp_path / "motion.txt"
    path.write_text(content)
    with pytest.raises(ClipError, match=message):
        read_deepmimic(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "motion.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClipError, match="found UnicodeDecodeError"):
        read_deepmimic(tmp_path / "motion.txt")


def test_nested_beyond_reason_is_refused(tmp_path):
    (tmp_path / "motion.txt").write_text("[" * 200_000)
    with pytest.raises(ClipError, match=r"found (RecursionError|JSONDecodeError)"):
        read_deepmimic(tmp_path / "motion.txt")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([{"duration": 0.0}, {}], "expected a duration above 0 in each frame but the last, found 0 in frame 0"),
        ([{}, {"duration": -1.0}, {}], "found -1 in frame 1"),
        ([{}, {"left_hip": [0, 0, 0, 0]}], r"Frames \(left_hip\): expected a quaternion, found zeros in frame 1"),
        ([{}, {"left_knee": float("nan")}], "Frames: expected finite values, found nan in frame 1, column 34"),
    ],
)
def test_impossible_frames_are_named(frame, write_deepmimic, frames, message):
    with pytest.raises(ClipError, match=message):
        read_deepmimic(write_deepmimic([frame(**turns) for turns in frames]))


def test_a_real_walk_walks(shared):
    clip = read_deepmimic(shared("deepmimic/humanoid3d_walk.txt"))
    at = positions(clip)
    pelvis = np.array([frame["pelvis"] for frame in at])
    assert pelvis[-1, 2] - pelvis[0, 2] > 1.0
    assert np.ptp(pelvis[:, 0]) < 0.1
    for frame in at:
        assert frame["head"][1] > 1.4
        assert frame["left_hip"][0] > frame["right_hip"][0]
        assert min(frame["left_foot"][1], frame["right_foot"][1]) < 0.1
    arms = [f["left_wrist"][2] - f["right_wrist"][2] for f in at]
    legs = [f["left_ankle"][2] - f["right_ankle"][2] for f in at]
    assert np.corrcoef(arms, legs)[0, 1] < -0.8


def test_a_real_cartwheel_turns_over_sideways(shared):
    at = positions(read_deepmimic(shared("deepmimic/humanoid3d_cartwheel.txt")))
    pelvis = np.array([frame["pelvis"] for frame in at])
    assert min(frame["head"][1] - frame["pelvis"][1] for frame in at) < -0.3
    assert np.ptp(pelvis[:, 0]) > 3 * np.ptp(pelvis[:, 2])
    assert min(min(frame["left_wrist"][1], frame["right_wrist"][1]) for frame in at) < 0.2


def test_every_real_motion_is_read(shared):
    for path in sorted(shared("deepmimic").glob("*.txt")):
        clip = read_deepmimic(path)
        durations = [row[0] for row in json.loads(path.read_text())["Frames"]]
        assert (clip.frames - 1) / clip.fps == pytest.approx(sum(durations[:-1]), abs=1 / clip.fps)
        lowest = [min(point[1] for point in frame.values()) for frame in positions(clip)]
        assert -0.25 < np.median(lowest) < 0.15, path.name
