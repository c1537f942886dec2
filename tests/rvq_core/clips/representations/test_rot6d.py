import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.kinematics import rotations_from_joints
from rvq_core.clips.representations import (
    JOINT_ROT6D,
    PART_JOINTS,
    SMPLX_ROT6D,
    SMPLX_ROT6D_HANDS,
    SMPLX_ROT6D_LOWER,
    SMPLX_ROT6D_UPPER,
    guess_representation,
    rotation_features,
)
from rvq_core.clips.skeleton import Skeleton
from rvq_core.clips.smplx import JOINT_NAMES, LOWER, canonical_skeleton

PARTS = [SMPLX_ROT6D_UPPER, SMPLX_ROT6D_HANDS, SMPLX_ROT6D_LOWER]


def random_rotations(frames: int, joints: int) -> np.ndarray:
    matrices = Rotation.random(frames * joints, rng=np.random.default_rng(0)).as_matrix()
    return matrices.reshape(frames, joints, 3, 3)


def columns(part) -> list[int]:
    return [6 * joint + k for joint in PART_JOINTS[part.name] for k in range(6)]


def test_parts_are_known_by_their_width():
    assert [(part.name, part.dim, guess_representation(part.dim)) for part in PARTS] == [
        ("smplx_rot6d_upper", 78, SMPLX_ROT6D_UPPER),
        ("smplx_rot6d_hands", 180, SMPLX_ROT6D_HANDS),
        ("smplx_rot6d_lower", 54, SMPLX_ROT6D_LOWER),
    ]
    numbers = sorted(joint for part in PARTS for joint in PART_JOINTS[part.name])
    assert numbers == [joint for joint in range(55) if joint not in (22, 23, 24)]
    assert SMPLX_ROT6D_UPPER.joint_names[:4] == ("spine1", "spine2", "spine3", "neck")
    assert SMPLX_ROT6D_LOWER.joint_names[-1] == "right_foot"
    assert all(name.startswith("left") for name in SMPLX_ROT6D_HANDS.joint_names[:15])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_is_posed_with_all_else_at_rest(part):
    rotations = random_rotations(6, 55)
    features = torch.from_numpy(rotation_features(rotations)).double()
    numbers = list(PART_JOINTS[part.name])
    resting = np.tile(np.eye(3), (6, 55, 1, 1))
    resting[:, numbers] = rotations[:, numbers]
    expected = canonical_skeleton().forward_kinematics(torch.from_numpy(resting))[:, numbers]
    own = features[:, columns(part)]
    torch.testing.assert_close(part.joints(own), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(part.rotations(own), torch.from_numpy(rotations[:, numbers]), atol=1e-6, rtol=0)
    batched = part.joints(own.expand(2, 3, *own.shape), first=5)
    torch.testing.assert_close(batched[1, 2], expected[:, :5], atol=1e-6, rtol=0)


def test_the_legs_are_where_the_whole_body_has_them():
    features = torch.from_numpy(rotation_features(random_rotations(4, 55)))
    whole = SMPLX_ROT6D.joints(features)
    torch.testing.assert_close(SMPLX_ROT6D_LOWER.joints(features[:, columns(SMPLX_ROT6D_LOWER)]), whole[:, list(LOWER)])


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_s_parents_are_the_body_s(part):
    for name, parent in zip(part.joint_names, part.parents, strict=True):
        ours = canonical_skeleton().parents[JOINT_NAMES.index(name)]
        assert parent == -1 or part.joint_names[parent] == JOINT_NAMES[ours]
    assert sum(parent == -1 for parent in part.parents) == (10 if part is SMPLX_ROT6D_HANDS else 1)
    assert part.body == tuple(range(len(part.joint_names)))
    assert part.hands == ()


def test_a_part_s_positions_have_gradients():
    features = torch.randn(3, 78, requires_grad=True, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: SMPLX_ROT6D_UPPER.joints(x), features)


@pytest.fixture
def dog() -> Skeleton:
    offsets = np.array([[0, 0.6, 0], [0, 0, 0.5], [0.1, -0.3, 0], [0.1, 0.2, 0.3], [0, 0.1, 0.2]])
    return Skeleton(("hips", "chest", "leg", "neck", "head"), (-1, 0, 0, 1, 3), offsets)


def test_rotations_of_any_skeleton_pose_that_skeleton(dog):
    rotations = random_rotations(7, 5)
    features = torch.from_numpy(rotation_features(rotations)).double()
    assert features.shape == (7, 30)
    expected = dog.forward_kinematics(torch.from_numpy(rotations))
    torch.testing.assert_close(JOINT_ROT6D.joints(features, dog), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(JOINT_ROT6D.joints(features, dog, first=3), expected[:, :3], atol=1e-6, rtol=0)
    torch.testing.assert_close(JOINT_ROT6D.rotations(features), torch.from_numpy(rotations), atol=1e-6, rtol=0)
    assert JOINT_ROT6D.joints(features) is None


def test_positions_of_any_skeleton_make_features_and_come_back(dog):
    joints = dog.forward_kinematics(torch.from_numpy(random_rotations(7, 5)))
    features = torch.from_numpy(rotation_features(rotations_from_joints(joints.numpy(), dog))).double()
    torch.testing.assert_close(JOINT_ROT6D.joints(features, dog), joints, atol=1e-6, rtol=0)


def test_any_whole_number_of_joints_fits():
    assert [JOINT_ROT6D.fits(dim) for dim in (6, 30, 330, 263)] == [True, True, True, False]
    assert JOINT_ROT6D.default_skeleton() is None
    assert guess_representation(30).name == "raw"
