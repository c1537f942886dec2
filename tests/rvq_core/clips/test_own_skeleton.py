import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core import analyze, load_checkpoint
from rvq_core.clips.bvh import parse_bvh
from rvq_core.clips.fit import fit_clip
from rvq_core.clips.hierarchy import Hierarchy, SkeletonMotion
from rvq_core.clips.own_skeleton import own_clip
from rvq_core.clips.representations import JOINT_ROT6D

Y_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.fixture
def dog() -> SkeletonMotion:
    """Five joints in inches, z up; the root walks and the head slides on its neck."""
    offsets = np.array([[0, 0, 20.0], [0, 15, 0], [4, 0, -12], [0, 9, 6], [0, 4, 2]])
    rng = np.random.default_rng(0)
    time = np.arange(30)[:, None] / 60
    vectors = 0.8 * np.sin(2 * np.pi * (rng.uniform(0.2, 2, 15) * time + rng.random(15)))
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(30, 5, 3, 3)
    path = np.concatenate([0 * time, 40 * time, 20 + 0 * time], axis=1)
    hierarchy = Hierarchy(("hips", "chest", "leg", "neck", "head"), (-1, 0, 0, 1, 3), offsets)
    return SkeletonMotion(hierarchy, rotations, {0: path}, 60.0, ("a note",))


def positions(clip) -> np.ndarray:
    joints = JOINT_ROT6D.joints(torch.from_numpy(clip.features).double(), clip.skeleton)
    assert joints is not None
    return joints.numpy() + clip.translation[:, None]


def test_joints_are_where_the_file_has_them(dog):
    clip = own_clip(dog, "dog", metres=0.0254, axes=Y_FROM_Z_UP)
    np.testing.assert_allclose(positions(clip), 0.0254 * dog.posed().positions @ Y_FROM_Z_UP.T, atol=1e-6)
    assert (clip.representation, clip.features.shape, clip.fps, clip.notes) == (
        "joint_rot6d",
        (30, 30),
        60,
        ("a note",),
    )
    assert clip.skeleton is not None and clip.skeleton.names == dog.hierarchy.names


def test_a_root_that_stands_still_stands_at_its_offset(dog):
    still = SkeletonMotion(dog.hierarchy, dog.rotations, {}, 60.0)
    clip = own_clip(still, "dog", metres=0.01)
    np.testing.assert_allclose(positions(clip), 0.01 * still.posed().positions, atol=1e-6)


def test_a_joint_that_slides_is_put_at_its_mean_place(dog):
    slide = np.array([0, 4, 2]) + np.linspace(-1, 1, 30)[:, None] * [0, 3, 0]
    clip = own_clip(SkeletonMotion(dog.hierarchy, dog.rotations, {**dog.moved, 4: slide}, 60.0), "dog", metres=0.01)
    assert clip.notes == ("put at their mean place, from which they move by up to 30 mm: head",)
    assert clip.skeleton is not None
    np.testing.assert_allclose(clip.skeleton.offsets[4], [0, 0.04, 0.02], atol=1e-12)


def test_a_root_whose_child_carries_the_path_is_left_out(dog):
    """The same dog under one more joint, which turns once and for all, and about which the dog walks."""
    above = Rotation.from_euler("z", 40, degrees=True).as_matrix()
    hierarchy = Hierarchy(
        ("world", *dog.hierarchy.names), (-1, 0, 1, 1, 2, 4), np.concatenate([[[0, 0, 5.0]], dog.hierarchy.offsets])
    )
    rotations = np.concatenate([np.tile(above, (30, 1, 1, 1)), dog.rotations], axis=1)
    clip = own_clip(SkeletonMotion(hierarchy, rotations, {1: dog.moved[0]}, 60.0), "dog", metres=0.01)
    expected = 0.01 * (dog.posed().positions @ above.T + [0, 0, 5])
    np.testing.assert_allclose(positions(clip), expected, atol=1e-6)
    assert clip.notes == ("world was left out: hips carries the path",)


def test_a_checkpoint_of_a_skeleton_measures_its_joints(make_checkpoint, dog):
    ckpt = load_checkpoint(make_checkpoint(representation="joint_rot6d", input_dim=30, fps=30.0))
    clip = own_clip(dog, "dog", metres=0.0254, axes=Y_FROM_Z_UP)
    report = analyze(ckpt, [clip], device="cpu")
    assert report.clips["representation"].tolist() == ["joint_rot6d"]
    assert "resampled from 60 to 30 fps (slerp)" in report.clips["notes"].iloc[0]
    rows = report.reconstruction
    joints = rows.loc[rows["metric"] == "mpjpe", "joint"].dropna()
    assert set(joints) == set(dog.hierarchy.names)
    assert np.isfinite(rows.loc[rows["metric"].isin(["mpjpe", "rotation_error"]), "value"].to_numpy(float)).all()


@pytest.mark.parametrize("name", ["cmu_bvh/02_01.bvh", "bandai_namco/dataset-1_walk_normal_001.bvh"])
def test_real_motion_keeps_its_joints(shared, name):
    motion = parse_bvh(shared(name))
    clip = own_clip(motion, "walk", metres=0.01)
    joints = clip.features.shape[1] // 6
    expected = 0.01 * motion.posed().positions[:, -joints:]
    np.testing.assert_allclose(positions(clip), expected, atol=5e-3)
    assert fit_clip(clip, dim=6 * joints, stride=4).representation == "joint_rot6d"
