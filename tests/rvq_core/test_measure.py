import dataclasses

import numpy as np
import pytest

from rvq_core.clips.clip import Clip
from rvq_core.loading import load_checkpoint
from rvq_core.measure import clip_error_rows
from rvq_core.tokens import Pipeline


def measured(path, clip) -> dict[tuple[int, str], float]:
    pipeline = Pipeline(load_checkpoint(path), "cpu")
    encoded = pipeline.encode(pipeline.fit(clip))
    rows = clip_error_rows(pipeline, encoded)
    assert {row.weight for row in rows} == {encoded.clip.frames}
    assert {row.clip for row in rows} == {clip.name}
    values = {(row.n_active, row.metric): row.value for row in rows}
    assert len(values) == len(rows)
    return values


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
        for metric, value in plain.errors(raw, plain.decode(given), 30.0).items()
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
    pipeline = Pipeline(load_checkpoint(path), "cpu")
    encoded = pipeline.encode(pipeline.fit(moving))
    for n, decoded in pipeline.decode(encoded):
        skeleton = moving.skeleton
        kind_joints = [_joints(skeleton, x) for x in (pipeline.restore(decoded).numpy(), moving.features)]
        apart = np.linalg.norm((kind_joints[0] - kind_joints[1])[:, 25:55], axis=-1)
        assert found[n, "mpjpe_hands"] == pytest.approx(apart.mean() * 1000, rel=1e-4)


def _joints(skeleton, features) -> np.ndarray:
    """All 55 joints with the pelvis at the origin, joint by joint."""
    rows = features.astype(np.float64).reshape(len(features), 55, 2, 3)
    first = rows[:, :, 0] / np.linalg.norm(rows[:, :, 0], axis=-1, keepdims=True)
    second = rows[:, :, 1] - (rows[:, :, 1] * first).sum(-1, keepdims=True) * first
    second /= np.linalg.norm(second, axis=-1, keepdims=True)
    local = np.stack([first, second, np.cross(first, second)], axis=-2)
    world, position = local.copy(), np.zeros((len(features), 55, 3))
    for joint in range(1, 55):
        parent = skeleton.parents[joint]
        world[:, joint] = world[:, parent] @ local[:, joint]
        position[:, joint] = position[:, parent] + world[:, parent] @ skeleton.offsets[joint]
    return position


def test_a_single_frame_has_every_metric_but_a_velocity(make_checkpoint, make_clip):
    found = measured(make_checkpoint(down_t=0), make_clip(frames=1))
    missing = {metric for (_, metric), value in found.items() if np.isnan(value)}
    assert missing == {"velocity_error"}


def test_features_of_unknown_meaning_have_the_feature_error_alone(make_checkpoint):
    path = make_checkpoint(representation="raw", input_dim=7, fps=None)
    features = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    found = measured(path, Clip("plain", 30.0, features, "raw"))
    assert {metric for _, metric in found} == {"feature_mse"}


def test_humanml3d_has_joints_and_no_rotations(make_checkpoint):
    path = make_checkpoint(representation="humanml3d", input_dim=263, fps=20.0)
    features = np.random.default_rng(0).normal(size=(20, 263)).astype(np.float32) * 0.1
    found = measured(path, Clip("walk", 20.0, features, "humanml3d"))
    assert {metric for _, metric in found} == {"feature_mse", "mpjpe", "velocity_error"}


def test_a_reconstruction_equal_to_the_clip_has_no_error(make_checkpoint, make_clip):
    """A model that always answers with one pose, on a clip that keeps it."""
    path = make_checkpoint(normalizer=False, change=lambda model: list(model.decoder.parameters())[-2].zero_())
    checkpoint = load_checkpoint(path)
    bias = list(checkpoint.model.decoder.parameters())[-1].numpy()
    clip = dataclasses.replace(make_clip(frames=10), features=np.tile(bias, (10, 1)))
    pipeline = Pipeline(checkpoint, "cpu")
    rows = clip_error_rows(pipeline, pipeline.encode(pipeline.fit(clip)))
    assert max(row.value for row in rows) < 1e-3
