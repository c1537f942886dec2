import time

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.skeleton import Skeleton, mirror_permutation
from rvq_core.clips.smplx import BODY_JOINTS, canonical_skeleton


def random_rotations(*shape: int) -> torch.Tensor:
    count = int(np.prod(shape))
    matrices = Rotation.random(count, rng=np.random.default_rng(0)).as_matrix()
    return torch.from_numpy(matrices.reshape(*shape, 3, 3))


def homogeneous_positions(skeleton: Skeleton, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
    """One frame by 4x4 transforms from each joint up to the root: the same thing, another way."""
    positions = []
    for joint in range(skeleton.joints):
        transform, walker = np.eye(4), joint
        while walker >= 0:
            step = np.eye(4)
            step[:3, :3], step[:3, 3] = rotations[walker], skeleton.offsets[walker]
            transform, walker = step @ transform, skeleton.parents[walker]
        positions.append(transform[:3, 3] + root)
    return np.array(positions)


def test_forward_kinematics_agrees_with_homogeneous_transforms():
    skeleton = canonical_skeleton()
    rotations, root = random_rotations(4, skeleton.joints), torch.randn(4, 3, dtype=torch.float64)
    found = skeleton.forward_kinematics(rotations, root).numpy()
    for frame in range(4):
        expected = homogeneous_positions(skeleton, rotations[frame].numpy(), root[frame].numpy())
        np.testing.assert_allclose(found[frame], expected, atol=1e-12)


def test_two_links_have_the_closed_form():
    arm = Skeleton(("a", "b", "c"), (-1, 0, 1), np.array([[0.0, 0, 0], [1, 0, 0], [1, 0, 0]]))
    angles = torch.tensor([0.3, 0.5, 0.0], dtype=torch.float64)
    rotations = torch.from_numpy(Rotation.from_rotvec(angles.numpy()[:, None] * [0, 0, 1]).as_matrix())
    end = arm.forward_kinematics(rotations)[2]
    expected = [np.cos(0.3) + np.cos(0.8), np.sin(0.3) + np.sin(0.8), 0]
    np.testing.assert_allclose(end.numpy(), expected, atol=1e-12)


def test_without_a_root_the_pelvis_is_at_the_origin_and_with_one_at_its_rest_offset():
    skeleton = canonical_skeleton()
    rotations = random_rotations(2, skeleton.joints)
    free = skeleton.forward_kinematics(rotations)
    placed = skeleton.forward_kinematics(rotations, torch.tensor([1.0, 2, 3]).expand(2, 3))
    assert torch.equal(free[:, 0], torch.zeros(2, 3).double())
    assert torch.allclose(placed - free, torch.tensor([1, 2 + skeleton.offsets[0, 1], 3]).double().expand(2, 55, 3))


def test_first_gives_the_same_body_and_takes_leading_dimensions():
    skeleton = canonical_skeleton()
    rotations = random_rotations(2, 3, skeleton.joints)
    whole = skeleton.forward_kinematics(rotations)
    assert whole.shape == (2, 3, 55, 3)
    assert torch.equal(skeleton.forward_kinematics(rotations, first=BODY_JOINTS), whole[..., :BODY_JOINTS, :])


def test_it_is_differentiable():
    arm = Skeleton(("a", "b", "c"), (-1, 0, 1), np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]))
    rotations = random_rotations(2, 3).requires_grad_()
    root = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(arm.forward_kinematics, (rotations, root))


def test_a_training_batch_takes_milliseconds():
    rotations = torch.eye(3).expand(64, 128, 55, 3, 3)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        canonical_skeleton().forward_kinematics(rotations, first=BODY_JOINTS)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # about 7 ms on two idle cores


def test_mirroring_swaps_the_sides_and_keeps_the_middle():
    skeleton = canonical_skeleton()
    swapped = [skeleton.names[j] for j in skeleton.mirrored]
    assert swapped[:4] == ["pelvis", "right_hip", "left_hip", "spine1"]
    assert [skeleton.mirrored[j] for j in skeleton.mirrored] == list(range(55))
    assert mirror_permutation(("left_only", "neck")) == (0, 1)


@pytest.mark.parametrize("parents", [(0, 0), (-1, 1), (-1, -1)])
def test_parents_out_of_order_are_refused(parents):
    with pytest.raises(ValueError, match="joint 0 to be the root"):
        Skeleton(("a", "b"), parents, np.zeros((2, 3)))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 names, 2 parents and 3 offsets"):
        Skeleton(("a", "b"), (-1, 0), np.zeros((3, 3)))
