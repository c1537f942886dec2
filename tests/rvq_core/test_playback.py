"""A clip as motion: the same joints and errors as the report's, under the same path."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from turning import checkpoint, turning

from rvq_core import load_checkpoint
from rvq_core.clips import Clip
from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.measure import measure_clip
from rvq_core.playback import motion_of
from rvq_core.tokens import Pipeline

SHARED = Path(__file__).resolve().parents[3] / "shared"
MOMASK = SHARED / "fixtures/momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2"


def test_shapes_and_depths():
    found = motion_of(Pipeline(checkpoint(330), "cpu"), turning(21))
    assert found.figure is not None
    assert found.depths == (0, 1, 2, 3, -1)
    assert found.clip.frames == 20 and found.stride == 2
    assert found.tokens.shape == (10, 3)
    assert found.figure.original.shape == (20, 55, 3)
    assert found.figure.reconstructions.shape == (5, 20, 55, 3)
    assert found.frame_errors.shape == (5, 20)
    assert (found.metric, found.unit) == ("mpjpe", "mm")


def test_errors_are_those_of_the_report():
    pipeline = Pipeline(checkpoint(330), "cpu")
    found = motion_of(pipeline, turning(20))
    rows = measure_clip(pipeline, pipeline.encode(pipeline.fit(turning(20)))).rows
    expected = {row.n_active: row.value for row in rows if row.metric == "mpjpe"}
    assert_allclose(found.errors, [expected[depth] for depth in found.depths], rtol=1e-5)


def test_errors_of_frames_are_mean_distances_of_body_joints_about_the_pelvis():
    figure = (found := motion_of(Pipeline(checkpoint(330), "cpu"), turning(20))).figure
    assert figure is not None
    for depth in range(5):
        for frame in (0, 7, 19):
            a, b = figure.reconstructions[depth, frame].astype(float), figure.original[frame].astype(float)
            apart = np.sqrt((((a - a[0]) - (b - b[0])) ** 2).sum(-1))[:22].mean() * 1000
            assert_allclose(found.frame_errors[depth, frame], apart, rtol=1e-5)


def test_the_clips_own_path_moves_all_figures_alike():
    found = motion_of(Pipeline(checkpoint(330), "cpu"), clip := turning(20)).figure
    assert found is not None and found.travels and found.path_of_clip and clip.translation is not None
    # The root stands at translation + offsets[0], as `Clip` defines it.
    root = clip.translation + canonical_skeleton().offsets[0]
    assert_allclose(found.original[:, 0], root, atol=1e-6)
    assert_allclose(found.reconstructions[:, :, 0], np.broadcast_to(root, (5, 20, 3)), atol=1e-6)


def test_without_a_path_the_pelvis_stays_and_the_errors_are_the_same():
    pipeline = Pipeline(checkpoint(330), "cpu")
    still, moving = motion_of(pipeline, turning(20, translation=False)), motion_of(pipeline, turning(20))
    assert still.figure is not None and not still.figure.travels
    assert not still.figure.original[:, 0].any()
    assert_allclose(still.frame_errors, moving.frame_errors, rtol=1e-5)


def test_many_frames_are_decoded_in_parts_with_the_same_result(monkeypatch):
    pipeline = Pipeline(checkpoint(330), "cpu")
    whole = motion_of(pipeline, turning(20))
    monkeypatch.setattr("rvq_core.playback.FRAMES_AT_ONCE", 40)
    monkeypatch.setattr("rvq_core.tokens.FRAMES_AT_ONCE", 20)
    parts = motion_of(pipeline, turning(20))
    assert parts.depths == whole.depths
    assert_allclose(parts.frame_errors, whole.frame_errors, rtol=1e-5)
    assert whole.figure is not None and parts.figure is not None
    assert_allclose(parts.figure.reconstructions, whole.figure.reconstructions, atol=1e-5)


def test_raw_features_have_errors_of_features_and_no_figure():
    pipeline = Pipeline(checkpoint(12), "cpu")
    clip = Clip("raw", 30.0, np.random.default_rng(0).normal(size=(16, 12)).astype(np.float32), "raw")
    found = motion_of(pipeline, clip)
    assert found.figure is None
    assert (found.metric, found.unit) == ("feature_mse", "1")
    rows = measure_clip(pipeline, pipeline.encode(clip)).rows
    expected = {row.n_active: row.value for row in rows if row.metric == "feature_mse"}
    assert_allclose(found.errors, [expected[depth] for depth in found.depths], rtol=1e-5)


def test_latents_have_tokens_alone():
    ckpt = replace(checkpoint(12), model=None, config=None)
    latents = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    found = motion_of(Pipeline(ckpt, "cpu"), Clip("latents", 30.0, latents, "latents"))
    assert found.figure is None and found.depths == ()
    assert found.tokens.shape == (9, 3) and found.stride == 1
    assert found.frame_errors.shape == (0, 9) and found.errors.shape == (0,)


def test_one_token_is_enough():
    found = motion_of(Pipeline(checkpoint(330), "cpu"), turning(2))
    assert found.tokens.shape == (1, 3)
    assert found.figure is not None and found.figure.original.shape == (2, 55, 3)


@pytest.mark.skipif(not MOMASK.exists(), reason="MoMask's fixture is not here")
def test_momasks_fixture_has_its_own_joints_and_errors():
    pipeline = Pipeline(load_checkpoint(MOMASK / "model/net_best_fid.tar"), "cpu")
    theirs = np.load(MOMASK / "expected.npz")
    assert pipeline.checkpoint.normalizer is not None
    for i, motion in enumerate(theirs["motion"]):
        features = pipeline.checkpoint.normalizer.invert(torch.from_numpy(motion)).numpy()
        found = motion_of(pipeline, Clip("theirs", 20.0, features, "humanml3d"))
        assert found.figure is not None and found.figure.travels and not found.figure.path_of_clip
        depth = found.depths.index(4)
        assert_allclose(found.figure.original, theirs["joints"][i], atol=1e-4)
        assert_allclose(found.figure.reconstructions[depth], theirs["joints_recon"][i], atol=1e-3)
        assert_allclose(found.frame_errors[depth], 1000 * theirs["mpjpe_per_frame"][i], rtol=1e-4)
