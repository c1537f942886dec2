import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core import analyze, load_checkpoint, load_clips
from rvq_core.clips.clip import Clip
from rvq_core.clips.convert import can_convert, convert_clip
from rvq_core.clips.npz import read_npz
from rvq_core.clips.representations import (
    HUMANML3D,
    JOINT_ROT6D,
    KIT,
    PART_JOINTS,
    RAW,
    SMPLX_ROT6D,
    SMPLX_ROT6D_LOWER,
    SMPLX_ROT6D_UPPER,
    get_representation,
    humanml3d_features,
    kit_features,
    kit_joints,
)
from rvq_core.clips.resample import resample_clip
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.errors import ClipError

SHARED = Path(__file__).resolve().parents[3].parent / "shared"
MOMASK = SHARED / "fixtures/momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2/model/net_best_fid.tar"
POSED = "SMPL-X rotations posed on the canonical skeleton made into"


def joints_of(clip: Clip) -> np.ndarray:
    """Body joints [T, 22, 3] where the clip has them in the world."""
    rotations = SMPLX_ROT6D.rotations(torch.from_numpy(clip.features.astype(np.float64)))
    return canonical_skeleton().forward_kinematics(rotations, first=22).numpy() + clip.translation[:, None]


def test_rotations_become_the_features_of_their_joints(write_npz):
    clip = replace(read_npz(write_npz(frames=20)), fps=20.0)
    found = convert_clip(clip, HUMANML3D)
    np.testing.assert_allclose(found.features, humanml3d_features(joints_of(clip)), atol=1e-6)
    assert (found.frames, found.fps, found.representation) == (19, 20.0, "humanml3d")
    assert (found.skeleton, found.translation, found.name, found.source) == (None, None, clip.name, clip.source)
    assert found.notes == (f"{POSED} humanml3d features: on the floor, facing +z at the start",)


def test_rotations_are_resampled_before_they_are_posed():
    """An arm that swings by 160 degrees a frame: joints in between lie on its arc, not on the chord."""
    turns = np.tile(np.eye(3), (3, 55, 1, 1))
    turns[1:, 17] = Rotation.from_euler("z", [[160], [160]], degrees=True).as_matrix()
    clip = Clip("swing", 10.0, turns[:, :, :2].reshape(3, 330).astype(np.float32), "smplx_rot6d", canonical_skeleton())
    found = convert_clip(clip, HUMANML3D, 20.0)
    joints = HUMANML3D.joints(torch.from_numpy(found.features))
    assert joints is not None
    lengths = torch.linalg.norm(joints[:, 19] - joints[:, 17], dim=-1)
    np.testing.assert_allclose(lengths, 0.3, atol=1e-4)
    assert found.notes[0] == "resampled from 10 to 20 fps (slerp)"


def test_kit_features_are_those_of_the_joints_that_are_nearest(write_npz):
    clip = read_npz(write_npz(frames=31))
    found = convert_clip(clip, KIT)
    slow = resample_clip(clip, 12.5)
    np.testing.assert_allclose(found.features, kit_features(kit_joints(joints_of(slow))), rtol=1e-4, atol=1e-3)
    assert (found.fps, found.frames, found.representation) == (12.5, 12, "kit")
    assert "on KIT's smaller body" in found.notes[-1]


def test_humanml3d_gives_kit_through_its_joints(write_npz):
    whole = replace(read_npz(write_npz(frames=30)), fps=12.5)
    features = convert_clip(whole, HUMANML3D, 12.5)
    found = convert_clip(features, KIT)
    direct = convert_clip(whole, KIT)
    # Two frames fewer than the poses: each step of the way has velocities, and so one frame less.
    joints = [KIT.joints(torch.from_numpy(clip.features).double()) for clip in (found, direct)]
    assert found.frames == 28
    assert joints[0] is not None and joints[1] is not None
    spans = [torch.linalg.norm(x[:28, :, None] - x[:28, None], dim=-1) for x in joints]
    torch.testing.assert_close(*spans, atol=1e-4, rtol=0)
    assert found.notes[-1].startswith("joints made into kit features")


def test_rotations_without_a_path_stay_in_their_place(write_npz):
    clip = replace(read_npz(write_npz(frames=12, trans=None)), fps=20.0)
    found = convert_clip(clip, HUMANML3D)
    joints = HUMANML3D.joints(torch.from_numpy(found.features))
    assert joints is not None
    assert np.ptp(joints[:, 0].numpy(), axis=0).max() < 1e-5
    assert found.notes[-1] == "no translation: the root stays in its place"


def test_one_frame_has_no_velocity(write_npz):
    clip = read_npz(write_npz(frames=1))
    with pytest.raises(ClipError, match=r"at least 2 frames at 20 fps, as humanml3d holds velocities, found 1 frame"):
        convert_clip(clip, HUMANML3D)


@pytest.mark.parametrize(("kind", "note"), [
    (SMPLX_ROT6D_UPPER, "took upper body: 13 of 55 joints"), (SMPLX_ROT6D_LOWER, "took lower body: 9 of 55 joints"),
    (get_representation("smplx_rot6d_hands"), "took hands: 30 of 55 joints"),
])  # fmt: skip
def test_a_part_is_its_columns_of_the_whole(write_npz, kind, note):
    clip = read_npz(write_npz())
    found = convert_clip(clip, kind)
    columns = [6 * joint + k for joint in PART_JOINTS[kind.name] for k in range(6)]
    np.testing.assert_array_equal(found.features, clip.features[:, columns])
    assert (found.representation, found.fps, found.notes) == (kind.name, clip.fps, (note,))
    # The path is the pelvis's: only the lower body has it.
    assert (found.translation is clip.translation) == (kind is SMPLX_ROT6D_LOWER)


@pytest.mark.parametrize(("source", "target", "reason"), [
    (HUMANML3D, SMPLX_ROT6D, "those of humanml3d come from inverse kinematics over positions and tell no twist"),
    (KIT, SMPLX_ROT6D_UPPER, "those of kit come from inverse kinematics"),
    (KIT, HUMANML3D, "KIT's body has other joints"),
    (SMPLX_ROT6D_UPPER, SMPLX_ROT6D, "smplx_rot6d_upper is a part of it and does not tell the rest"),
    (SMPLX_ROT6D_LOWER, SMPLX_ROT6D_UPPER, "does not tell the rest"),
    (JOINT_ROT6D, HUMANML3D, "it is then brought to SMPL-X"),
    (RAW, HUMANML3D, "the representation that this checkpoint was trained on"),
    (HUMANML3D, HUMANML3D, "the representation that this checkpoint was trained on"),
])  # fmt: skip
def test_what_motion_does_not_tell_is_refused_with_the_reason(source, target, reason):
    clip = Clip("step", 20.0, np.zeros((9, source.dim or 30), np.float32), source.name)
    assert not can_convert(clip, target)
    with pytest.raises(
        ClipError, match=rf"step: expected features in .* {target.name}, found {source.name}; .*{reason}"
    ):
        convert_clip(clip, target)


def figures(report) -> np.ndarray:
    """All but those of feet, which a motion without a step on the ground has none of."""
    rows = report.reconstruction
    return rows.loc[~rows["metric"].str.startswith("foot_skating"), "value"].to_numpy(dtype=float)


def test_poses_run_through_a_checkpoint_of_humanml3d(make_checkpoint, write_clip):
    ckpt = load_checkpoint(make_checkpoint(representation="humanml3d", input_dim=263, fps=20.0))
    path = write_clip("walk", 61, trans=np.cumsum(np.full((61, 3), 0.01), axis=0))
    report = analyze(ckpt, load_clips(path), device="cpu")
    row = report.clips.iloc[0]
    assert (row["frames"], row["fps"], row["representation"]) == (40, 20.0, "humanml3d")
    assert "resampled from 30 to 20 fps (slerp)" in row["notes"]
    assert f"{POSED} humanml3d" in row["notes"]
    assert {"mpjpe", "velocity_error", "feature_mse"} <= set(report.reconstruction["metric"])
    assert np.isfinite(figures(report)).all()


@pytest.mark.parametrize("dim", [78, 180, 54])
@pytest.mark.parametrize("told", [True, False])
def test_a_checkpoint_of_a_part_takes_its_part(make_checkpoint, make_clip, dim, told):
    part = next(get_representation(name) for name in PART_JOINTS if get_representation(name).dim == dim)
    ckpt = load_checkpoint(make_checkpoint(representation=part.name if told else None, input_dim=dim))
    report = analyze(ckpt, [make_clip(hands=True)], device="cpu")
    assert report.clips["representation"].tolist() == [part.name]
    assert f"{len(part.joint_names)} of 55 joints" in report.clips["notes"].iloc[0]
    joints = report.reconstruction.loc[report.reconstruction["metric"] == "rotation_error", "joint"]
    assert set(joints.dropna()) == set(part.joint_names)
    assert np.isfinite(figures(report)).all()


@pytest.mark.parametrize(
    "name",
    ["beat2/2_scott_0_1_1.npz", "amass/dmpl_sample.npz", "cmu_amc/02_01.amc", "cmu_bvh/02_01.bvh",
     "bandai_namco/dataset-1_walk_normal_001.bvh", "deepmimic/humanoid3d_walk.txt",
     "deepmimic/humanoid3d_cartwheel.txt"],
)  # fmt: skip
def test_all_real_motion_runs_through_momask(shared, name):
    if not MOMASK.exists():
        pytest.skip("needs ../shared/fixtures/momask, which is not part of the repository")
    clips = load_clips(shared(name))
    report = analyze(load_checkpoint(MOMASK), clips, device="cpu", max_frames=200)
    row = report.clips.iloc[0]
    assert row["representation"] == "humanml3d"
    assert f"{POSED} humanml3d" in row["notes"]
    assert np.isfinite(figures(report)).all()
    assert row["mpjpe"] > 0
    assert math.isfinite(row["acceleration_error"])


@pytest.mark.parametrize(
    ("name", "height", "distance"),
    [("cmu_bvh/02_01.bvh", (0.8, 1.05), (1.5, 5)), ("cmu_amc/02_01.amc", (0.8, 1.05), (1.5, 5)),
     ("beat2/2_scott_0_1_1.npz", (0.8, 1.05), (0, 1)), ("deepmimic/humanoid3d_walk.txt", (0.75, 1.05), (0.8, 3))],
)  # fmt: skip
def test_real_motion_is_upright_and_walks_ahead(shared, name, height, distance):
    clip = convert_clip(load_clips(shared(name))[0], HUMANML3D)
    joints = HUMANML3D.joints(torch.from_numpy(clip.features))
    assert joints is not None
    assert height[0] < joints[:, 0, 1].median() < height[1]
    way = joints[-1, 0] - joints[0, 0]
    assert distance[0] < torch.linalg.norm(way[[0, 2]]) < distance[1]
    if distance[0] > 0:
        assert way[2] > 3 * way[0].abs()  # a walk goes where the body faces
    assert (joints[:, 15, 1] > joints[:, 0, 1]).all()
