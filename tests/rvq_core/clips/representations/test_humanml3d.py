import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.representations import HUMANML3D, humanml3d_features
from rvq_core.clips.representations.humanml3d import LAYOUT
from rvq_core.clips.representations.root_local import place
from rvq_core.clips.rotations import rot6d_to_matrix
from rvq_core.clips.smplx import PARENTS, canonical_skeleton

YAW, PATH, HEIGHT, POSITIONS = slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 67)
ROTATIONS, VELOCITIES, CONTACTS = slice(67, 193), slice(193, 259), slice(259, 263)

# The direction that the body faces is smoothed by a Gaussian that reaches 4 standard deviations of 20 frames, and the
# real joints lack the frame after the last: from here on the features of the real pair know more than its joints.
AWARE = 170 - 4 * 20


def walk(frames: int = 90, *, turns: float = 2.5, seed: int = 0) -> np.ndarray:
    """Joints [T, 22, 3] of a body that wobbles and walks in circles, ``turns`` of them."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 20
    angles = 0.4 * np.sin(2 * np.pi * (rng.uniform(0.2, 1, 66) * time + rng.random(66)))
    turn = Rotation.from_rotvec(angles.reshape(-1, 3)).as_matrix().reshape(frames, 22, 3, 3)
    yaw = np.linspace(0.4, 0.4 + 2 * np.pi * turns, frames)
    turn[:, 0] = Rotation.from_euler("y", yaw[:, None]).as_matrix() @ turn[:, 0]
    path = np.stack([np.sin(yaw), 0.2 + 0.1 * np.sin(yaw * 3), np.cos(yaw)], axis=1)
    return canonical_skeleton().forward_kinematics(torch.from_numpy(turn), first=22).numpy() + path[:, None]


def recovered(features: np.ndarray) -> np.ndarray:
    joints = HUMANML3D.joints(torch.from_numpy(features.astype(np.float64)))
    assert joints is not None
    return joints.numpy()


@pytest.fixture
def pair(shared) -> tuple[np.ndarray, np.ndarray]:
    joints = np.load(shared("humanml3d/new_joints_012314.npy")).astype(np.float64)
    return joints, np.load(shared("humanml3d/new_joint_vecs_012314.npy")).astype(np.float64)


def test_features_of_real_joints_are_the_published_ones(pair):
    joints, published = pair
    found = humanml3d_features(joints)
    assert (found.shape, found.dtype) == ((169, 263), np.float32)
    apart = np.abs(found - published[:169])
    assert not apart[:, CONTACTS].any()
    assert apart[:, HEIGHT].max() < 1e-6
    for columns, near, nearly in (
        (YAW, 1e-5, 1e-3),
        (PATH, 1e-5, 1e-3),
        (POSITIONS, 1e-5, 1e-2),
        (VELOCITIES, 1e-5, 1e-3),
    ):
        assert apart[:AWARE, columns].max() < near
        assert apart[:, columns].max() < nearly
    assert apart[:AWARE, ROTATIONS].max() < 1e-4
    assert apart[:, ROTATIONS].max() < 0.05


def test_real_joints_come_back(pair):
    joints, _ = pair
    np.testing.assert_allclose(recovered(humanml3d_features(joints)), joints[:-1], atol=2e-6)


def test_joints_come_back_as_they_are_placed():
    joints = walk()
    placed = place(joints, LAYOUT)
    found = recovered(humanml3d_features(joints))
    assert found.shape == (89, 22, 3)
    np.testing.assert_allclose(found, placed[:-1], atol=2e-5)
    assert placed[..., 1].min() == 0
    np.testing.assert_allclose(placed[0, 0, [0, 2]], 0, atol=1e-12)
    across = (placed[0, 2] - placed[0, 1]) + (placed[0, 17] - placed[0, 16])
    assert across[2] == pytest.approx(0, abs=1e-12) and across[0] < 0  # its right is at -x, so it faces +z
    # Only moved: distances between joints and frames stay.
    spans = [np.linalg.norm(x[7:, :, None] - x[:-7, None], axis=-1) for x in (joints, placed)]
    np.testing.assert_allclose(*spans, atol=1e-12)


def test_where_a_motion_starts_changes_nothing():
    joints = walk(40)
    turned = joints @ Rotation.from_euler("y", 2.1).as_matrix().T + [3.0, -0.4, 7.0]
    np.testing.assert_allclose(humanml3d_features(turned), humanml3d_features(joints), atol=2e-6)


def test_velocities_and_contacts_are_those_of_the_joints_that_come_back():
    joints = walk(60, turns=1)
    features = humanml3d_features(joints)
    placed = place(joints, LAYOUT)
    yaw = np.cumsum(features[:, 0]) - features[:, 0]
    steps = np.diff(placed, axis=0)
    facing = Rotation.from_euler("y", 2 * yaw[:, None]).as_matrix()
    expected = np.einsum("tij,tkj->tki", facing, steps).reshape(59, -1)
    np.testing.assert_allclose(features[:, VELOCITIES], expected, atol=1e-5)
    contacts = [[np.square(steps[t, j]).sum() < 0.002 for j in (7, 10, 8, 11)] for t in range(59)]
    np.testing.assert_array_equal(features[:, CONTACTS], contacts)
    assert 0 < np.mean(contacts) < 1


def test_a_body_carried_straight_ahead():
    rest = canonical_skeleton().rest_positions[:22]
    joints = rest + 0.06 * np.arange(10)[:, None, None] * [0, 0, 1]
    features = humanml3d_features(joints)
    low = rest[:, 1].min()
    np.testing.assert_allclose(features[:, :4], np.tile([0, 0, 0.06, rest[0, 1] - low], (9, 1)), atol=1e-6)
    local = (rest - [0, low, rest[0, 2]])[1:].ravel()
    np.testing.assert_allclose(features[:, POSITIONS], np.tile(local, (9, 1)), atol=1e-6)
    np.testing.assert_allclose(features[:, VELOCITIES], np.tile([0, 0, 0.06], (9, 22)), atol=1e-6)
    assert not features[:, CONTACTS].any()  # 6 cm a frame is above the root of 0.002
    # Thigh and shank both point straight down, where their rotation is none.
    shank = features[:, 67 + 6 * (7 - 1) : 67 + 6 * 7]
    np.testing.assert_allclose(shank, np.tile([1, 0, 0, 0, 1, 0], (9, 1)), atol=1e-6)


def test_a_body_with_both_sides_in_one_place_faces_ahead():
    features = humanml3d_features(np.zeros((5, 22, 3)) + np.arange(22)[:, None] * [0, 0.05, 0])
    assert np.isfinite(features).all()
    assert not features[:, :3].any()


def posed(features: np.ndarray, lengths: np.ndarray, order) -> np.ndarray:
    """Bones [T, 22, 3] by forward kinematics along the chains, from the features' rotations."""
    turns = rot6d_to_matrix(torch.from_numpy(features[:, ROTATIONS].reshape(-1, 21, 6)), order).numpy()
    yaw = np.cumsum(features[:, 0]) - features[:, 0]
    bones = np.zeros((len(features), 22, 3))
    for chain in LAYOUT.chains:
        world = Rotation.from_euler("y", 2 * yaw[:, None]).as_matrix()
        for joint in chain[1:]:
            world = world @ turns[:, joint - 1]
            bones[:, joint] = lengths[joint] * world @ LAYOUT.rest[joint]
    return bones


def test_rotations_are_two_columns_and_not_rows(pair):
    joints, published = pair
    bones = joints - joints[:, [max(parent, 0) for parent in PARENTS[:22]]]
    lengths = np.linalg.norm(bones, axis=-1).mean(axis=0)
    assert np.abs(posed(published, lengths, "columns") - bones).max() < 1e-4
    assert np.abs(posed(published, lengths, "rows") - bones).max() > 0.2
    ours = humanml3d_features(joints).astype(np.float64)
    assert np.abs(posed(ours, lengths, "columns") - bones[:-1]).max() < 1e-4
