import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.retarget import Rig, retarget, smallest_rotation
from rvq_core.clips.smplx import JOINT_NAMES, PARENTS, canonical_skeleton

OURS = {name: name for name in JOINT_NAMES[:22]}


def worlds(rotations: np.ndarray) -> np.ndarray:
    """World rotations [T, J, 3, 3] of local ones, by the chain from the root."""
    result = rotations.copy()
    for joint, parent in enumerate(PARENTS[: rotations.shape[1]]):
        if parent >= 0:
            result[:, joint] = result[:, parent] @ rotations[:, joint]
    return result


@pytest.fixture
def motion():
    rng = np.random.default_rng(0)
    return Rotation.from_rotvec(rng.normal(0, 0.5, (4 * 22, 3))).as_matrix().reshape(4, 22, 3, 3)


def test_our_own_skeleton_comes_back_unchanged(motion):
    rig = Rig(JOINT_NAMES[:22], OURS, np.eye(3), leg=0.83, hips=(0.0, -0.075, 0.0), ankle_height=0.065)
    root = np.random.default_rng(1).normal(size=(4, 3))
    result = retarget(rig, worlds(motion), root)
    np.testing.assert_allclose(result.rotations[:, :22], motion, atol=1e-9)
    np.testing.assert_allclose(result.rotations[:, 22:], np.broadcast_to(np.eye(3), (4, 33, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(result.translation, root - canonical_skeleton().offsets[0], atol=1e-9)
    assert result.note == "retargeted to SMPL-X: 22 joints mapped; at rest: face, fingers"


def test_other_axes_and_units_do_not_change_the_motion(motion):
    # The same motion in a world with z up, facing -y, in centimetres.
    axes = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    turned = axes.T @ worlds(motion) @ axes
    root = np.random.default_rng(1).normal(size=(4, 3))
    rig = Rig(JOINT_NAMES[:22], OURS, axes, leg=83.0, hips=(0.0, 0.0, -7.5), ankle_height=6.5)
    result = retarget(rig, turned, 100 * root @ axes)
    np.testing.assert_allclose(result.rotations[:, :22], motion, atol=1e-9)
    np.testing.assert_allclose(result.translation, root - canonical_skeleton().offsets[0], atol=1e-9)


def test_another_rest_pose_comes_out_as_that_pose():
    directions = {"left_shoulder": (0.0, -1.0, 0.0), "left_elbow": (0.0, -1.0, 0.0)}
    rig = Rig(JOINT_NAMES[:22], OURS, np.eye(3), leg=0.83, directions=directions)
    result = retarget(rig, np.tile(np.eye(3), (1, 22, 1, 1)), np.zeros((1, 3)))
    joints = canonical_skeleton().forward_kinematics(torch.from_numpy(result.rotations))[0].numpy()
    at = dict(zip(JOINT_NAMES, joints, strict=True))
    np.testing.assert_allclose(at["left_elbow"] - at["left_shoulder"], [0, -0.30, 0], atol=1e-9)
    np.testing.assert_allclose(at["left_wrist"] - at["left_elbow"], [0, -0.25, 0], atol=1e-9)
    np.testing.assert_allclose(at["right_elbow"] - at["right_shoulder"], [-0.30, 0, 0], atol=1e-9)


def test_unmapped_joints_of_the_spine_share_the_turn_and_collars_rest():
    names = ("pelvis", "spine3", "left_shoulder")
    turn = Rotation.from_rotvec([[0, 0, 0], [0.9, 0, 0], [0.9, 0, 0.4]]).as_matrix()[None]
    result = retarget(Rig(names, {n: n for n in names}, np.eye(3), leg=0.83), turn, np.zeros((1, 3)))
    angles = Rotation.from_matrix(result.rotations[0]).as_rotvec()
    for name in ("spine1", "spine2", "spine3"):
        np.testing.assert_allclose(angles[JOINT_NAMES.index(name)], [0.3, 0, 0], atol=1e-9)
    assert np.allclose(angles[JOINT_NAMES.index("left_collar")], 0)
    assert "3 joints mapped; spine1, spine2 share the turn of their neighbours; at rest: left_hip" in result.note


def test_the_length_of_the_legs_scales_the_path():
    rig = Rig(("root",), {"pelvis": "root"}, np.eye(3), leg=0.83 / 2, ankle_height=0.1)
    result = retarget(rig, np.tile(np.eye(3), (2, 1, 1, 1)), np.array([[0.0, 0.515, 0], [1, 0.515, 0]]))
    pelvis = result.translation + canonical_skeleton().offsets[0]
    assert pelvis[1, 0] - pelvis[0, 0] == pytest.approx(2)
    # The source stands (leg 0.415 + ankle 0.1); so do we: 0.075 + 0.83 + 0.065.
    assert pelvis[0, 1] == pytest.approx(0.97)


@pytest.mark.parametrize(
    ("start", "end", "degrees"),
    [
        ([1, 0, 0], [0, -2, 0], 90),
        ([1, 2, 3], [2, 4, 6], 0),
        ([0, 1, 0], [0, -1, 0], 180),
        ([1, 1, 0], [-3, -3, 0], 180),
    ],
)
def test_smallest_rotation_takes_one_direction_to_the_other(start, end, degrees):
    start, end = np.array(start, float), np.array(end, float)
    turn = smallest_rotation(start, end)
    np.testing.assert_allclose(turn @ start / np.linalg.norm(start), end / np.linalg.norm(end), atol=1e-9)
    assert np.degrees(Rotation.from_matrix(turn).magnitude()) == pytest.approx(degrees, abs=1e-6)
