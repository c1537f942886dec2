import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from rvq_core.clips.smplx import JOINT_NAMES
from rvq_core.training.batches import (
    HEADINGS,
    WindowSampler,
    fit_normalizer,
    in_all_headings,
    mirrored,
    still_features,
    turned,
)


@pytest.fixture
def motion(make_clip) -> torch.Tensor:
    return torch.from_numpy(make_clip(frames=12, hands=True).features)


def test_the_mirror_image_of_a_mirror_image_is_the_motion(motion):
    assert torch.equal(mirrored(mirrored(motion)), motion)
    assert not torch.allclose(mirrored(motion), motion)


def test_a_mirror_image_reflects_every_joint_at_x_and_swaps_the_sides(motion, numpy_joints):
    before, after = numpy_joints(motion.double().numpy()), numpy_joints(mirrored(motion).double().numpy())
    for joint, name in enumerate(JOINT_NAMES[:22]):
        other = name.replace("left", "?").replace("right", "left").replace("?", "right")
        reflected = before[:, JOINT_NAMES.index(other)] * [-1, 1, 1]
        np.testing.assert_allclose(after[:, joint], reflected, atol=1e-6, err_msg=name)


def test_a_turn_turns_every_joint_about_the_vertical(motion, numpy_joints):
    yaw = torch.tensor([0.0, 0.7, -2.5])
    batch = turned(motion.expand(3, -1, -1), yaw)
    before = numpy_joints(motion.double().numpy())
    for angle, one in zip(yaw.tolist(), batch, strict=True):
        expected = before @ Rotation.from_euler("y", angle).as_matrix().T
        np.testing.assert_allclose(numpy_joints(one.double().numpy()), expected, atol=1e-5)
    torch.testing.assert_close(batch[0], motion)
    assert torch.equal(batch[1][:, 6:], motion[:, 6:])  # only the pelvis turns


def test_all_headings_are_equally_spaced(motion, numpy_joints):
    views = in_all_headings(motion)
    assert len(views) == HEADINGS
    before = numpy_joints(motion.double().numpy())
    for k, view in enumerate(views):
        expected = before @ Rotation.from_euler("y", 2 * np.pi * k / HEADINGS).as_matrix().T
        np.testing.assert_allclose(numpy_joints(view.double().numpy()), expected, atol=1e-5)


def test_the_normalizer_is_mean_and_std_over_all_frames():
    clips = [torch.randn(9, 4) * 3 + 1, torch.randn(20, 4)]
    normalizer = fit_normalizer(clips, yaw=False)
    frames = torch.cat(clips).double().numpy()
    np.testing.assert_allclose(normalizer.mean, frames.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(normalizer.std, frames.std(axis=0), rtol=1e-6)


def test_no_feature_that_moves_is_divided_by_less_than_the_floor():
    frames = torch.randn(400, 4) * torch.tensor([0.5, 0.01, 1e-6, 0.0])
    normalizer = fit_normalizer([frames], yaw=False, floor=0.1)
    expected = [frames[:, 0].std(correction=0).item(), 0.1, 1.0, 1.0]  # constant features are divided by 1
    np.testing.assert_allclose(normalizer.scale, expected, rtol=1e-6)


def test_a_feature_stands_still_where_no_clip_moves_it():
    wave = torch.sin(torch.arange(60) * 0.3)[:, None]
    first = torch.cat([0.0 * wave + 1, 0.0 * wave + 2, 0.01 * wave, 0.5 * wave], dim=1)
    second = torch.cat([0.0 * wave - 3, 0.5 * wave, 0.02 * wave, 0.0 * wave], dim=1)
    assert still_features([first, second]).tolist() == [True, False, True, False]


def test_with_turns_the_normalizer_is_that_of_random_headings(motion):
    normalizer = fit_normalizer([motion], yaw=True)
    many = turned(motion.expand(5000, -1, -1), torch.rand(5000) * 2 * torch.pi).reshape(-1, 330).double()
    np.testing.assert_allclose(normalizer.mean, many.mean(dim=0), atol=0.03)
    np.testing.assert_allclose(normalizer.std, many.std(dim=0), atol=0.03)


def numbered(length: int, clip: int) -> torch.Tensor:
    """Features that tell the clip and the frame."""
    return torch.stack([torch.full((length,), float(clip)), torch.arange(length, dtype=torch.float32)], dim=1)


def test_windows_are_whole_stretches_of_one_clip_and_the_rest_is_its_last_frame():
    lengths = [3, 8, 30]
    sampler = WindowSampler([numbered(n, i) for i, n in enumerate(lengths)], window=8, batch_size=64, yaw=False, seed=0)
    starts = set()
    for _ in range(10):
        batch = sampler.draw()
        assert batch.features.shape == (64, 8, 2)
        for features, present in zip(batch.features, batch.present, strict=True):
            assert features[:, 0].unique().numel() == 1
            length = lengths[int(features[0, 0])]
            start = int(features[0, 1])
            expected = np.minimum(np.arange(start, start + 8), length - 1)
            assert features[:, 1].tolist() == expected.tolist()
            assert present.tolist() == [start + k < length for k in range(8)]
            if length == 30:
                starts.add(start)
            else:
                assert start == 0
    assert starts == set(range(23))  # every window that fits, the first and the last too


def test_clips_are_drawn_by_their_length_but_short_ones_as_a_window():
    sampler = WindowSampler(
        [numbered(2, 0), numbered(10, 1), numbered(30, 2)], window=10, batch_size=5000, yaw=False, seed=0
    )
    drawn = sampler.draw().features[:, 0, 0].long()
    np.testing.assert_allclose(np.bincount(drawn.numpy()) / 5000, [0.2, 0.2, 0.6], atol=0.03)


def test_the_seed_decides_the_batches(motion):
    def batches(seed):
        sampler = WindowSampler([motion, mirrored(motion)], window=6, batch_size=3, yaw=True, seed=seed)
        return torch.stack([sampler.draw().features for _ in range(3)])

    assert torch.equal(batches(1), batches(1))
    assert not torch.equal(batches(1), batches(2))


def test_each_sample_gets_a_heading_of_its_own(motion):
    batch = WindowSampler([motion], window=12, batch_size=6, yaw=True, seed=0).draw().features
    assert len({tuple(row) for row in batch[:, 0, :6].round(decimals=3).tolist()}) == 6
    torch.testing.assert_close(batch[..., 6:], motion[:, 6:].expand(6, -1, -1))
