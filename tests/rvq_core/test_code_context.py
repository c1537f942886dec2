"""A code taken out of a clip, and lines between clips, against the decoder used by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from turning import checkpoint, turning

from rvq_core.code_context import between_clips, motion_around, motion_without
from rvq_core.playback import motion_of
from rvq_core.tokens import Pipeline


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(checkpoint(330), "cpu")


def test_without_a_code_is_the_decoder_on_the_sum_of_the_others(pipeline):
    clip = turning(80)
    found = motion_without(pipeline, clip, 2, (11, 14))
    assert found is not None and pipeline.model is not None
    whole = motion_of(pipeline, clip)
    books = [book.numpy() for book in pipeline.checkpoint.codebooks]
    sums = sum(book[whole.tokens[:, q]] for q, book in enumerate(books))
    sums[11:14] -= books[1][whole.tokens[11:14, 1]]
    with torch.inference_mode():
        features = pipeline.restore(pipeline.model.decode(torch.from_numpy(sums.T)[None]))[0].numpy()
    # Joints of these features, by way of a clip that holds them.
    by_hand = motion_of(pipeline, replace(clip, features=features)).figure
    assert by_hand is not None and whole.figure is not None
    assert_allclose(found.joints, by_hand.original, atol=1e-4)
    body = list(whole.figure.body)
    centred = [joints[:, body] - joints[:, :1] for joints in (found.joints, whole.figure.original)]
    errors = 1000 * np.linalg.norm(centred[0] - centred[1], axis=-1).mean(axis=1)
    assert_allclose(found.frame_errors, errors, rtol=1e-3)


def test_far_from_its_tokens_nothing_changes_and_there_something_does(pipeline):
    clip = turning(200)
    found, whole = motion_without(pipeline, clip, 1, (50, 51)), motion_of(pipeline, clip).figure
    assert found is not None and whole is not None
    full = whole.reconstructions[3]
    assert_allclose(found.joints[:50], full[:50], atol=1e-5)
    assert_allclose(found.joints[150:], full[150:], atol=1e-5)
    assert np.abs(found.joints[100:102] - full[100:102]).max() > 1e-3


def test_nothing_is_told_of_features_without_joints_and_of_latents():
    plain = Pipeline(checkpoint(12), "cpu")
    raw = replace(turning(40), features=np.ones((40, 12), np.float32), representation="raw", skeleton=None)
    assert motion_without(plain, raw, 1, (0, 2)) is None
    assert between_clips(plain, raw, raw, 3) is None
    assert motion_around(plain, raw, 5, 2) is None
    latents = replace(raw, features=np.ones((9, 4), np.float32), representation="latents")
    assert motion_without(plain, latents, 1, (0, 2)) is None
    assert between_clips(plain, latents, latents, 3) is None


def test_around_a_token_the_clip_is_as_it_is_and_stays_where_it_ends(pipeline):
    clip = turning(40)
    whole = motion_of(pipeline, clip).figure
    assert whole is not None
    assert_allclose(motion_around(pipeline, clip, 10, 3), whole.original[14:28], atol=1e-5)
    early = motion_around(pipeline, clip, 1, 3)
    assert early is not None and early.shape == (14, 55, 3)
    assert_allclose(early[:4], np.broadcast_to(whole.original[0], (4, 55, 3)), atol=1e-5)
    assert_allclose(early[4:], whole.original[:10], atol=1e-5)


def test_a_line_between_clips_ends_at_both_and_goes_straight_between_their_latents(pipeline):
    first = replace(turning(40), translation=None)
    other = replace(first, features=first.features[::-1].copy())
    line = between_clips(pipeline, first, replace(other, features=other.features[:30]), 5)
    assert line is not None and line.shape == (5, 30, 55, 3)
    cut = replace(first, features=first.features[:30])
    for at, clip in ((0, cut), (4, replace(other, features=other.features[:30]))):
        found = motion_of(pipeline, clip)
        assert found.figure is not None
        # The encoder sees a little beyond the cut, so the last frames of the longer clip are not those of the cut one.
        assert_allclose(line[at][:10], found.figure.reconstructions[-1][:10], atol=1e-4)
    assert_array_equal(between_clips(pipeline, cut, cut, 3)[0], between_clips(pipeline, cut, cut, 3)[2])
