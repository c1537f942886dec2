import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.representations import (
    HUMANML3D,
    KIT,
    RAW,
    REPRESENTATIONS,
    SMPLX_ROT6D,
    get_representation,
    guess_representation,
)
from rvq_core.clips.smplx import BODY_JOINTS, HANDS, canonical_skeleton
from rvq_core.errors import SettingsError


def walk_features(frames: int, count: int, width: int, yaw: float = 0.0, step=(0.0, 0.0)) -> np.ndarray:
    """Features of a body that turns by ``yaw`` a frame (half angle) and steps (x, z) as it faces."""
    features = np.zeros((frames, width))
    features[:, 0], features[:, 1:3], features[:, 3] = yaw, step, 0.9
    features[:, 4 : 4 + 3 * (count - 1)] = np.tile([0.1, 0.5, 0.2], count - 1)
    return features


def test_smplx_joints_are_forward_kinematics_with_the_pelvis_at_the_origin():
    rotations = torch.from_numpy(Rotation.random(5 * 55, rng=np.random.default_rng(0)).as_matrix().reshape(5, 55, 3, 3))
    features = rotations[..., :2, :].reshape(5, 330)
    joints = SMPLX_ROT6D.joints(features)
    assert joints is not None
    assert torch.allclose(joints, canonical_skeleton().forward_kinematics(rotations), atol=1e-12)
    found = SMPLX_ROT6D.rotations(features)
    assert found is not None
    assert torch.allclose(found, rotations, atol=1e-12)


def test_smplx_body_alone_and_in_batches():
    features = torch.randn(7, 4, 330, generator=torch.Generator().manual_seed(0))
    whole, body = SMPLX_ROT6D.joints(features), SMPLX_ROT6D.joints(features, first=BODY_JOINTS)
    assert whole is not None
    assert body is not None
    assert whole.shape == (7, 4, 55, 3)
    assert torch.equal(whole[..., :BODY_JOINTS, :], body)


def test_humanml3d_joints_come_back_from_a_real_pair(shared):
    features = torch.from_numpy(np.load(shared("humanml3d/new_joint_vecs_012314.npy")))
    expected = np.load(shared("humanml3d/new_joints_012314.npy"))
    joints = HUMANML3D.joints(features)
    assert joints is not None
    assert np.abs(joints.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize(("kind", "count"), [(HUMANML3D, 22), (KIT, 21)])
def test_a_straight_walk_adds_up_the_velocity_of_the_frames_before(kind, count):
    joints = kind.joints(torch.from_numpy(walk_features(4, count, kind.dim, step=(0.0, 0.05))))
    assert joints.shape == (4, count, 3)
    np.testing.assert_allclose(joints[:, 0], [[0, 0.9, 0.05 * t] for t in range(4)], atol=1e-12)
    np.testing.assert_allclose(joints[2, 1], [0.1, 0.5, 0.2 + 0.1], atol=1e-12)


def test_turning_bodies_walk_in_circles():
    # The yaw column is half an angle: a quarter turn a frame, so four steps come back to the start.
    joints = HUMANML3D.joints(torch.from_numpy(walk_features(5, 22, 263, yaw=np.pi / 4, step=(0.0, 1.0))))
    assert joints is not None
    np.testing.assert_allclose(joints[4, 0], [0, 0.9, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(np.diff(joints[:, 0].numpy(), axis=0), axis=1), 1, atol=1e-9)


def test_humanml3d_takes_batches():
    features = torch.from_numpy(walk_features(6, 22, 263, yaw=0.1, step=(0.01, 0.02)))
    one, many = HUMANML3D.joints(features), HUMANML3D.joints(features.expand(3, 2, 6, 263))
    assert one is not None
    assert many is not None
    assert torch.allclose(many, one.expand(3, 2, 6, 22, 3))


def test_kit_in_millimetres_comes_out_in_metres():
    metres = torch.from_numpy(walk_features(4, 21, 251, step=(0.0, 0.05)))
    millimetres = metres.clone()
    millimetres[:, 1:64] *= 1000
    torch.testing.assert_close(KIT.joints(millimetres), KIT.joints(metres))


def test_raw_knows_no_joints():
    assert RAW.joints(torch.zeros(3, 10)) is None
    assert RAW.rotations(torch.zeros(3, 10)) is None
    assert HUMANML3D.rotations(torch.zeros(3, 263)) is None


def test_body_and_hands_are_named():
    assert SMPLX_ROT6D.body == tuple(range(22))
    assert SMPLX_ROT6D.hands == HANDS
    assert (len(HUMANML3D.body), len(KIT.body), HUMANML3D.hands) == (22, 21, ())
    for kind in REPRESENTATIONS:
        assert len(kind.joint_names) == len(kind.parents)
        assert all(parent < joint for joint, parent in enumerate(kind.parents))


def test_representations_are_found_by_name_and_by_width():
    assert [guess_representation(dim) for dim in (330, 263, 251, 7)] == [SMPLX_ROT6D, HUMANML3D, KIT, RAW]
    assert [(r.name, r.fps) for r in REPRESENTATIONS] == [
        ("smplx_rot6d", 30.0),
        ("smplx_rot6d_upper", 30.0),
        ("smplx_rot6d_hands", 30.0),
        ("smplx_rot6d_lower", 30.0),
        ("humanml3d", 20.0),
        ("kit", 12.5),
        ("joint_rot6d", None),
        ("raw", None),
        ("latents", None),
        ("tokens", None),
    ]
    assert get_representation("kit") is KIT
    with pytest.raises(SettingsError, match=r"expected one of smplx_rot6d, .*, humanml3d, kit, .*, found 'smpl'"):
        get_representation("smpl")
