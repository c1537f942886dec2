import numpy as np
import pytest
import torch

from rvq_core.clips.representations import KIT, KIT_JOINTS, KIT_PARENTS, kit_features, kit_joints
from rvq_core.clips.representations.kit import LAYOUT
from rvq_core.clips.representations.root_local import place
from rvq_core.clips.smplx import JOINT_NAMES, canonical_skeleton

REST = canonical_skeleton().rest_positions[:22]


def walk(frames: int = 50) -> np.ndarray:
    """SMPL joints [T, 22, 3] that sway about the rest pose on a curved path."""
    rng = np.random.default_rng(0)
    time = np.arange(frames)[:, None, None] / 12.5
    sway = 0.05 * np.sin(2 * np.pi * (rng.uniform(0.2, 1, (22, 3)) * time + rng.random((22, 3))))
    path = np.stack([np.cos(time), 0 * time, np.sin(time)], axis=-1)[:, 0]
    return REST + sway + path


def test_features_have_the_published_columns_and_come_back_as_joints():
    joints = kit_joints(walk())
    features = kit_features(joints)
    assert (features.shape, features.dtype) == ((49, 251), np.float32)
    found = KIT.joints(torch.from_numpy(features).double())
    assert found is not None
    np.testing.assert_allclose(found, place(joints, LAYOUT)[:-1], atol=1e-5)


def test_features_are_millimetres():
    joints = kit_joints(REST[None].repeat(3, axis=0))
    features = kit_features(joints)
    assert features[0, 3] == pytest.approx(1000 * (joints[0, 0, 1] - joints[..., 1].min()), rel=1e-6)
    # MMM's body is smaller than a person: the pelvis of ours is 0.91 m high.
    assert features[0, 3] == pytest.approx(0.64 * 1000 * (REST[0, 1] - REST[:, 1].min()), rel=1e-6)


def test_joints_are_where_the_body_has_them():
    joints = dict(zip(KIT_JOINTS, kit_joints(REST[None])[0] / 0.64, strict=True))
    ours = dict(zip(JOINT_NAMES, REST, strict=False))
    np.testing.assert_allclose(joints["root"], ours["pelvis"])
    np.testing.assert_allclose(joints["BUN"], ours["head"])
    # What KIT names left lies on the right of features that face +z: there the hips 11, 16 are right and left.
    np.testing.assert_allclose(joints["LW"], ours["right_wrist"])
    np.testing.assert_allclose(joints["RK"], ours["left_knee"])
    np.testing.assert_allclose(joints["LMrot"], (ours["right_ankle"] + ours["right_foot"]) / 2)
    assert len({tuple(place) for place in joints.values()}) == 21


def test_the_body_faces_ahead():
    features = kit_features(kit_joints(REST + 0.06 * np.arange(6)[:, None, None] * [0, 0, 1]))
    np.testing.assert_allclose(features[:, :3], np.tile([0, 0, 0.64 * 60], (5, 1)), atol=1e-3)
    local = features[0, 4:64].reshape(20, 3)
    assert local[KIT_JOINTS.index("LF") - 1, 2] > 0


def test_chains_follow_the_parents():
    pairs = {(chain[i + 1], chain[i]) for chain in LAYOUT.chains for i in range(len(chain) - 1)}
    assert pairs == {(joint, parent) for joint, parent in enumerate(KIT_PARENTS) if parent >= 0}


def test_feet_that_stand_are_in_contact():
    joints = kit_joints(REST[None].repeat(8, axis=0))
    joints[4:, KIT_JOINTS.index("LF")] += np.arange(4)[:, None] * [0, 0, 0.01]
    contacts = kit_features(joints)[:, -4:]
    # Columns: R ankle's side first (joints 19, 20), then 14, 15.
    assert contacts[:, :3].all()
    assert contacts[:, 3].tolist() == [1, 1, 1, 1, 0, 0, 0]
