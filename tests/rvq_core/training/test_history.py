import numpy as np
import pytest
import torch

from rvq_core import load_checkpoint
from rvq_core.clips.representations import RAW, SMPLX_ROT6D
from rvq_core.training.history import corpus_counts, held_out_mpjpe, usage_row


@pytest.fixture
def checkpoint_path(make_checkpoint):
    return make_checkpoint()


@pytest.fixture
def features(make_clip) -> list[torch.Tensor]:
    return [torch.from_numpy(make_clip(frames=n, seed=n).features) for n in (30, 13)]


def test_counts_are_those_of_plain_numpy(checkpoint_path, features, oracle):
    checkpoint, plain = load_checkpoint(checkpoint_path), oracle(checkpoint_path)
    counts = corpus_counts(checkpoint.model, checkpoint.normalizer, features)
    expected = np.zeros((3, 16), dtype=int)
    for clip in features:
        raw = clip[: len(clip) // 2 * 2].double().numpy()
        for q, column in enumerate(plain.quantize(plain.encode(plain.normalise(raw)))[0].T):
            expected[q] += np.bincount(column, minlength=16)
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum(axis=1).tolist() == [21, 21, 21]


def test_held_out_error_is_weighted_by_frames(checkpoint_path, features, oracle):
    checkpoint, plain = load_checkpoint(checkpoint_path), oracle(checkpoint_path)
    errors, frames = [], []
    for clip in features:
        raw = clip[: len(clip) // 2 * 2].double().numpy()
        sums = plain.quantize(plain.encode(plain.normalise(raw)))[1]
        errors.append(plain.errors(raw, plain.decode(sums[-1]), 30.0)["mpjpe"])
        frames.append(len(raw))
    found = held_out_mpjpe(checkpoint.model, checkpoint.normalizer, SMPLX_ROT6D, features)
    assert found == pytest.approx(np.average(errors, weights=frames), rel=1e-4)


def test_no_clips_or_no_joints_give_no_error(checkpoint_path, features):
    checkpoint = load_checkpoint(checkpoint_path)
    assert held_out_mpjpe(checkpoint.model, checkpoint.normalizer, SMPLX_ROT6D, []) is None
    assert held_out_mpjpe(checkpoint.model, checkpoint.normalizer, RAW, features) is None
    assert not corpus_counts(checkpoint.model, checkpoint.normalizer, []).any()


def test_a_row_of_usage():
    row = usage_row(np.array([[4, 4, 0, 0], [1, 0, 0, 0]]))
    assert row == {"perplexity": [2.0, 1.0], "unseen": [2, 3]}
