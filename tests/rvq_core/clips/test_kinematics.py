import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.kinematics import rotations_from_joints, turns_from
from rvq_core.clips.skeleton import Skeleton
from rvq_core.clips.smplx import canonical_skeleton


def random_rotations(*shape: int, most: float = np.pi) -> np.ndarray:
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(*shape, 3))
    axes *= rng.uniform(0, most, (*shape, 1)) / np.linalg.norm(axes, axis=-1, keepdims=True)
    return Rotation.from_rotvec(axes.reshape(-1, 3)).as_matrix().reshape(*shape, 3, 3)


def test_a_turn_leads_from_one_direction_to_the_other_by_the_angle_between():
    rng = np.random.default_rng(1)
    starts, ends = rng.normal(size=(2, 200, 3))
    turns = turns_from(starts, ends)
    units = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (starts, ends)]
    np.testing.assert_allclose(np.einsum("tij,tj->ti", turns, units[0]), units[1], atol=1e-12)
    angles = np.arccos((units[0] * units[1]).sum(-1))
    np.testing.assert_allclose(Rotation.from_matrix(turns).magnitude(), angles, atol=1e-9)


@pytest.mark.parametrize("start", [[0.0, 1, 0], [3.0, 0, 0], [1.0, -2, 0.5]])
def test_opposite_directions_are_half_a_turn(start):
    turn = turns_from(np.array(start), -2 * np.array([start]))[0]
    np.testing.assert_allclose(turn @ start, -np.array(start), atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_nearly_opposite_directions_stay_rotations():
    bends = np.array([1e-3, 1e-5, 1e-7, 1e-9])
    ends = np.stack([bends, -np.ones(4), np.zeros(4)], axis=1)
    turns = turns_from(np.array([0.0, 1, 0]), ends)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.tile(np.eye(3), (4, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(turns @ [0, 1, 0], ends, atol=1e-4)


def test_a_bone_without_length_turns_nothing():
    np.testing.assert_array_equal(turns_from(np.array([0.0, 1, 0]), np.zeros((2, 3))), np.tile(np.eye(3), (2, 1, 1)))


def test_positions_come_back_from_the_rotations_made_of_them():
    skeleton = canonical_skeleton()
    joints = skeleton.forward_kinematics(torch.from_numpy(random_rotations(20, 55))).numpy()
    found = rotations_from_joints(joints, skeleton)
    np.testing.assert_allclose(found @ found.swapaxes(-1, -2), np.broadcast_to(np.eye(3), found.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(found), 1)
    again = skeleton.forward_kinematics(torch.from_numpy(found)).numpy() + joints[:, :1]
    np.testing.assert_allclose(again, joints, atol=1e-9)


def test_rotations_come_back_where_several_bones_tell_them():
    offsets = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 1, 1.0]])
    skeleton = Skeleton(("root", "a", "b", "c"), (-1, 0, 0, 2), offsets)
    rotations = random_rotations(30, 4)
    joints = skeleton.forward_kinematics(torch.from_numpy(rotations)).numpy()
    found = rotations_from_joints(joints, skeleton)
    np.testing.assert_allclose(found[:, 0], rotations[:, 0], atol=1e-9)
    # A single bone tells where it points, and no twist: its turn is the smallest that does.
    bend = np.einsum("tij,j->ti", rotations[:, 2], offsets[3])
    np.testing.assert_allclose(np.einsum("tij,j->ti", found[:, 2], offsets[3]), bend, atol=1e-9)
    smallest = np.arccos(np.clip(bend @ offsets[3] / 2, -1, 1))
    np.testing.assert_allclose(Rotation.from_matrix(found[:, 2]).magnitude(), smallest, atol=1e-6)
    np.testing.assert_array_equal(found[:, [1, 3]], np.tile(np.eye(3), (30, 2, 1, 1)))


def test_a_pose_at_rest_has_no_rotations():
    skeleton = canonical_skeleton()
    found = rotations_from_joints(skeleton.rest_positions[None], skeleton)
    np.testing.assert_allclose(found, np.broadcast_to(np.eye(3), found.shape), atol=1e-9)
