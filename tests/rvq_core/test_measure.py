import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rvq_core.clips.clip import Clip
from rvq_core.clips.representations import KIT_JOINTS
from rvq_core.clips.skeleton import Skeleton
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.errors import SettingsError
from rvq_core.loading import load_checkpoint
from rvq_core.measure import frame_errors, measure_clip
from rvq_core.tokens import Encoded, Pipeline

SHARED = Path(__file__).resolve().parents[3] / "shared"
MOMASK = SHARED / "fixtures/momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2"
BODY = {"feature_mse", "mpjpe", "velocity_error", "acceleration_error"}
FEET = {"foot_skating", "foot_skating_original"}


def encode(path, clip) -> tuple[Pipeline, Encoded]:
    pipeline = Pipeline(load_checkpoint(path), "cpu")
    return pipeline, pipeline.encode(pipeline.fit(clip))


def measured(path, clip) -> dict[tuple[int, str], float]:
    pipeline, encoded = encode(path, clip)
    rows = measure_clip(pipeline, encoded).rows
    assert {row.weight for row in rows} == {encoded.clip.frames}
    assert {row.clip for row in rows} == {clip.name}
    values = {(row.n_active, row.metric): row.value for row in rows}
    assert len(values) == len(rows)
    return values


def with_acceleration(plain, raw, decoded) -> dict[str, float]:
    """The oracle's metrics at 30 fps, and the acceleration error from second differences."""
    skeleton = canonical_skeleton()
    found, wanted = (_joints(skeleton, x)[:, :22] for x in (decoded * plain.scale + plain.mean, raw))
    bends = [x[2:] - 2 * x[1:-1] + x[:-2] for x in (found, wanted)]
    mean = float(np.mean(np.sqrt(((bends[0] - bends[1]) ** 2).sum(-1))))
    return plain.errors(raw, decoded, 30.0) | {"acceleration_error": mean * 30**2 * 1000}


def test_every_metric_at_every_depth_is_that_of_plain_numpy(make_checkpoint, make_clip, oracle):
    path = make_checkpoint()
    clip = make_clip(frames=30)
    found = measured(path, clip)
    plain = oracle(path)
    raw = clip.features.astype(np.float64)
    latents = plain.encode(plain.normalise(raw))
    inputs = {**dict(enumerate(plain.quantize(latents)[1])), -1: latents}
    expected = {
        (n, metric): value
        for n, given in inputs.items()
        for metric, value in with_acceleration(plain, raw, plain.decode(given)).items()
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=2e-4), key


def test_the_frame_rate_is_in_the_velocity(make_checkpoint, make_clip):
    path = make_checkpoint(fps=None)
    slow, fast = (measured(path, make_clip(fps=fps)) for fps in (30.0, 60.0))
    assert fast[3, "velocity_error"] == pytest.approx(2 * slow[3, "velocity_error"])
    assert fast[3, "mpjpe"] == slow[3, "mpjpe"]


def test_hands_that_move_have_an_error_of_their_own(make_checkpoint, make_clip):
    path = make_checkpoint()
    assert not any(metric == "mpjpe_hands" for _, metric in measured(path, make_clip(hands=False)))
    moving = make_clip(hands=True)
    found = measured(path, moving)
    pipeline, encoded = encode(path, moving)
    for n, decoded in pipeline.decode(encoded):
        skeleton = moving.skeleton
        kind_joints = [_joints(skeleton, x) for x in (pipeline.restore(decoded).numpy(), moving.features)]
        apart = np.linalg.norm((kind_joints[0] - kind_joints[1])[:, 25:55], axis=-1)
        assert found[n, "mpjpe_hands"] == pytest.approx(apart.mean() * 1000, rel=1e-4)


def _joints(skeleton, features) -> np.ndarray:
    """All 55 joints with the pelvis at the origin, joint by joint."""
    local = _rotations(features)
    world, position = local.copy(), np.zeros((len(features), 55, 3))
    for joint in range(1, 55):
        parent = skeleton.parents[joint]
        world[:, joint] = world[:, parent] @ local[:, joint]
        position[:, joint] = position[:, parent] + world[:, parent] @ skeleton.offsets[joint]
    return position


def _rotations(features) -> np.ndarray:
    """Gram-Schmidt on two rows: [T, 330] -> [T, 55, 3, 3]."""
    rows = features.astype(np.float64).reshape(len(features), 55, 2, 3)
    first = rows[:, :, 0] / np.linalg.norm(rows[:, :, 0], axis=-1, keepdims=True)
    second = rows[:, :, 1] - (rows[:, :, 1] * first).sum(-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)


def test_a_single_frame_has_every_metric_but_those_of_steps(make_checkpoint, make_clip):
    found = measured(make_checkpoint(down_t=0), make_clip(frames=1))
    missing = {metric for (_, metric), value in found.items() if np.isnan(value)}
    assert missing == {"velocity_error", "acceleration_error"}


def test_features_of_unknown_meaning_have_the_feature_error_alone(make_checkpoint):
    path = make_checkpoint(representation="raw", input_dim=7, fps=None)
    features = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    found = measured(path, Clip("plain", 30.0, features, "raw"))
    assert {metric for _, metric in found} == {"feature_mse"}


def test_humanml3d_has_joints_and_no_rotations(make_checkpoint):
    path = make_checkpoint(representation="humanml3d", input_dim=263, fps=20.0)
    features = np.random.default_rng(0).normal(size=(20, 263)).astype(np.float32) * 0.1
    found = measured(path, Clip("walk", 20.0, features, "humanml3d"))
    assert {metric for _, metric in found} == BODY | FEET


def answers_with_one_pose(make_checkpoint) -> tuple[Path, np.ndarray]:
    """A checkpoint whose decoder gives one pose [330] whatever it sees."""
    path = make_checkpoint(normalizer=False, change=lambda model: list(model.decoder.parameters())[-2].zero_())
    return path, list(load_checkpoint(path).model.decoder.parameters())[-1].numpy()


def test_a_reconstruction_equal_to_the_clip_has_no_error(make_checkpoint, make_clip):
    path, pose = answers_with_one_pose(make_checkpoint)
    still = np.zeros((10, 3), dtype=np.float32)
    clip = dataclasses.replace(make_clip(frames=10), features=np.tile(pose, (10, 1)), translation=still)
    found = measured(path, clip)
    assert {metric for _, metric in found} == BODY | FEET | {"rotation_error"}
    assert max(found.values()) < 1e-3
    pipeline, encoded = encode(path, clip)
    assert frame_errors(pipeline, encoded, 2)["value"].max() < 1e-3
    assert max(each.values.max() for each in measure_clip(pipeline, encoded).joints) < 1e-3


def test_both_motions_are_posed_on_one_skeleton(make_checkpoint, make_clip):
    path, clip = make_checkpoint(), make_clip()
    own = clip.skeleton
    giant = Skeleton(own.names, own.parents, 2 * own.offsets)
    assert measured(path, dataclasses.replace(clip, skeleton=giant)) == measured(path, clip)


def standing(make_clip, frames=40) -> Clip:
    """A clip that stands still for its first half; the root stands all along."""
    clip = make_clip(frames=frames)
    features = clip.features.copy()
    features[: frames // 2] = features[frames // 2]
    return dataclasses.replace(clip, features=features, translation=np.full((frames, 3), 0.3, dtype=np.float32))


def test_skating_is_that_of_a_plain_loop_over_contacts(make_checkpoint, make_clip):
    """Ankles and feet under the clip's own path; low and slow in the clip, moving in the reconstruction."""
    path, clip = make_checkpoint(), standing(make_clip)
    found = measured(path, clip)
    pipeline, encoded = encode(path, clip)
    skeleton, feet = canonical_skeleton(), [7, 8, 10, 11]
    truth = _joints(skeleton, clip.features)[:, feet]
    lowest = truth[..., 1].min(axis=0)
    for n, decoded in pipeline.decode(encoded):
        moved = _joints(skeleton, pipeline.restore(decoded).numpy())[:, feet]
        speeds = [
            [np.hypot(*(x[t + 1, j] - x[t, j])[[0, 2]]) * 30 * 1000 for x in (moved, truth)]
            for t in range(39)
            for j in range(4)
            if max(truth[t, j, 1], truth[t + 1, j, 1]) <= lowest[j] + 0.04
            and np.linalg.norm(truth[t + 1, j] - truth[t, j]) * 30 < 0.15
        ]
        assert len(speeds) > 10
        mine, original = np.mean(speeds, axis=0)
        assert found[n, "foot_skating"] == pytest.approx(mine, rel=1e-3)
        assert found[n, "foot_skating_original"] == pytest.approx(original, rel=1e-2, abs=1e-3)


def test_rotations_alone_tell_no_skating(make_checkpoint, make_clip):
    path, clip = make_checkpoint(), standing(make_clip)
    with_path = {metric for _, metric in measured(path, clip)}
    without = {metric for _, metric in measured(path, dataclasses.replace(clip, translation=None))}
    assert with_path - without == FEET


def test_a_path_that_slides_leaves_no_contact(make_checkpoint, make_clip):
    clip = standing(make_clip)
    path = np.zeros((40, 3), dtype=np.float32)
    path[:, 0] = np.arange(40)
    found = measured(make_checkpoint(), dataclasses.replace(clip, translation=path))
    assert {metric for (_, metric), value in found.items() if np.isnan(value)} == FEET


def test_kit_has_feet_of_its_own(make_checkpoint):
    """Only KIT's four foot joints count: moving every other one changes nothing."""
    path = make_checkpoint(representation="kit", input_dim=251, fps=12.5, normalizer=False)
    features = np.zeros((20, 251), dtype=np.float32)
    features[:, 3] = 0.9
    moved = features.copy()
    feet = [KIT_JOINTS.index(name) for name in ("LMrot", "LF", "RMrot", "RF")]
    columns = [4 + 3 * (joint - 1) + axis for joint in range(1, 21) if joint not in feet for axis in range(3)]
    moved[:, columns] = np.random.default_rng(0).normal(size=(20, len(columns)))
    found = [measured(path, Clip("walk", 12.5, x, "kit")) for x in (features, moved)]
    assert {metric for _, metric in found[0]} == BODY | FEET
    # The decoder sees zeros at n = 0, so its answer is the same to both.
    assert found[0][0, "foot_skating"] == found[1][0, "foot_skating"] > 0
    assert found[0][0, "mpjpe"] != found[1][0, "mpjpe"]


def test_errors_by_joint_average_to_the_clips(make_checkpoint, make_clip):
    path, clip = make_checkpoint(), make_clip(hands=True)
    pipeline, encoded = encode(path, clip)
    found = measure_clip(pipeline, encoded)
    rows = {(row.n_active, row.metric): row.value for row in found.rows}
    names = canonical_skeleton().names
    assert {each.metric: each.joints for each in found.joints} == {
        "mpjpe": names[:22], "mpjpe_hands": names[25:], "rotation_error": names[:22],
    }  # fmt: skip
    for each in found.joints:
        assert (each.clip, each.weight, each.n_active) == ("clip", 40, (0, 1, 2, 3, -1))
        for n, values in zip(each.n_active, each.values, strict=True):
            assert values.mean() == pytest.approx(rows[n, each.metric], rel=1e-12)


def test_a_joints_error_is_its_own(make_checkpoint, make_clip):
    path, clip = make_checkpoint(), make_clip()
    pipeline, encoded = encode(path, clip)
    positions, rotations = measure_clip(pipeline, encoded).joints
    for n, decoded in pipeline.decode(encoded):
        both = [pipeline.restore(decoded).numpy(), clip.features]
        wrists = [_joints(canonical_skeleton(), x)[:, 20] for x in both]
        turns = [Rotation.from_matrix(_rotations(x)[:, 20]) for x in both]
        row, wrist = positions.n_active.index(n), positions.joints.index("left_wrist")
        apart = np.linalg.norm(wrists[0] - wrists[1], axis=-1).mean() * 1000
        assert positions.values[row, wrist] == pytest.approx(apart, rel=1e-4)
        angle = np.degrees((turns[0] * turns[1].inv()).magnitude()).mean()
        assert rotations.values[row, wrist] == pytest.approx(angle, rel=1e-4)


def test_batches_of_any_size_give_the_same(make_checkpoint, make_clip, monkeypatch):
    pipeline, encoded = encode(make_checkpoint(), standing(make_clip))
    whole = measure_clip(pipeline, encoded)
    monkeypatch.setattr("rvq_core.measure.FRAMES_AT_ONCE", 2 * encoded.clip.frames)
    parts = measure_clip(pipeline, encoded)
    assert parts.rows == whole.rows
    for one, other in zip(parts.joints, whole.joints, strict=True):
        assert one[:4] == other[:4]
        np.testing.assert_array_equal(one.values, other.values)


def test_errors_of_frames_average_to_the_clips(make_checkpoint, make_clip):
    pipeline, encoded = encode(make_checkpoint(), standing(make_clip))
    rows = {(row.n_active, row.metric): row.value for row in measure_clip(pipeline, encoded).rows}
    for n in (-1, 0, 3):
        table = frame_errors(pipeline, encoded, n)
        assert table.columns.tolist() == ["frame", "metric", "value"]
        assert set(table["metric"]) == BODY | FEET | {"rotation_error"}
        for metric, part in table.groupby("metric"):
            first = 0 if metric in {"feature_mse", "mpjpe", "rotation_error"} else 1
            last = 38 if metric == "acceleration_error" else 39
            assert part["frame"].tolist() == list(range(first, last + 1)), metric
            if metric not in FEET:  # those are weighted by the feet on the ground
                assert part["value"].mean() == pytest.approx(rows[n, metric], rel=1e-9)


def test_the_error_of_a_frame_is_its_own(make_checkpoint, make_clip):
    path, clip = make_checkpoint(), make_clip()
    pipeline, encoded = encode(path, clip)
    table = frame_errors(pipeline, encoded, 2)
    found, wanted = (
        _joints(canonical_skeleton(), x)[:, :22]
        for x in (pipeline.restore(dict(pipeline.decode(encoded))[2]).numpy(), clip.features)
    )
    values = {metric: part.set_index("frame")["value"] for metric, part in table.groupby("metric")}
    for t in (1, 17, 38):
        apart = np.linalg.norm(found[t] - wanted[t], axis=-1).mean() * 1000
        assert values["mpjpe"][t] == pytest.approx(apart, rel=1e-4)
        steps = (found[t] - found[t - 1]) - (wanted[t] - wanted[t - 1])
        assert values["velocity_error"][t] == pytest.approx(np.linalg.norm(steps, axis=-1).mean() * 30e3, rel=1e-3)
        bend = [x[t + 1] - 2 * x[t] + x[t - 1] for x in (found, wanted)]
        expected = np.linalg.norm(bend[0] - bend[1], axis=-1).mean() * 900e3
        assert values["acceleration_error"][t] == pytest.approx(expected, rel=1e-3)


def test_a_frame_without_contact_has_no_skating(make_checkpoint, make_clip):
    clip = standing(make_clip)
    path = np.zeros((40, 3), dtype=np.float32)
    path[20:, 0] = np.arange(20)  # slides at 30 m/s
    pipeline, encoded = encode(make_checkpoint(), dataclasses.replace(clip, translation=path))
    table = frame_errors(pipeline, encoded, 1)
    skating = table[table["metric"] == "foot_skating"].set_index("frame")["value"]
    assert skating.loc[1:19].notna().all()
    assert skating.loc[22:].isna().all()


@pytest.mark.parametrize("n_active", [-2, 4])
def test_depths_that_are_not_there_are_refused(make_checkpoint, make_clip, n_active):
    pipeline, encoded = encode(make_checkpoint(), make_clip())
    with pytest.raises(SettingsError, match=rf"n_active: expected -1 \(unquantised\) to 3, found {n_active}"):
        frame_errors(pipeline, encoded, n_active)


def test_latents_have_no_errors(make_checkpoint):
    latents = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    pipeline, encoded = encode(make_checkpoint(), Clip("codes", 15.0, latents, "latents"))
    assert measure_clip(pipeline, encoded) == ([], [])
    table = frame_errors(pipeline, encoded, 3)
    assert table.empty
    assert table.columns.tolist() == ["frame", "metric", "value"]


@pytest.mark.skipif(not MOMASK.is_dir(), reason="needs ../shared/fixtures")
def test_momasks_own_file_gives_momasks_own_errors():
    theirs = np.load(MOMASK / "expected.npz")
    mean, std = (np.load(MOMASK / f"meta/{name}.npy") for name in ("mean", "std"))
    for motion, expected in zip(theirs["motion"], theirs["mpjpe_per_frame"], strict=True):
        clip = Clip("theirs", 20.0, (motion * std + mean).astype(np.float32), "humanml3d")
        pipeline, encoded = encode(MOMASK, clip)
        table = frame_errors(pipeline, encoded, 4)
        found = table.loc[table["metric"] == "mpjpe", "value"]
        np.testing.assert_allclose(found, expected * 1000, rtol=1e-4)
        rows = {(row.n_active, row.metric): row.value for row in measure_clip(pipeline, encoded).rows}
        assert rows[4, "mpjpe"] == pytest.approx(expected.mean() * 1000, rel=1e-5)
