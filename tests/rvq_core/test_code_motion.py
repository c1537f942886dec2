import numpy as np
import pytest
import torch

from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.code_motion import average_of_others, decode_held, line_between
from rvq_core.loading import load_checkpoint
from rvq_core.tokens import Pipeline


def test_a_held_latent_is_decoded_and_posed(make_checkpoint, oracle, numpy_joints):
    path = make_checkpoint()
    ckpt = load_checkpoint(path)
    plain = oracle(path)
    vectors = np.stack([ckpt.codebooks[0][3].numpy(), np.zeros(8)])
    joints = decode_held(Pipeline(ckpt, "cpu"), vectors, "smplx_rot6d", None, tokens=4)
    assert joints is not None and joints.shape == (2, 8, 55, 3)
    for one, vector in zip(joints, vectors, strict=True):
        decoded = plain.decode(np.tile(vector, (4, 1))) * plain.scale + plain.mean
        expected = numpy_joints(decoded)
        np.testing.assert_allclose(one[:, :22] - one[:, :1], expected - expected[:, :1], atol=2e-4)


def test_features_without_joints_and_codebooks_alone_give_none(make_checkpoint, tmp_path):
    ckpt = load_checkpoint(make_checkpoint(input_dim=12, representation=None))
    assert decode_held(Pipeline(ckpt, "cpu"), np.zeros((1, 8)), "raw", None) is None
    books = {f"quantizer.layers.{q}.codebook": torch.randn(5, 8) for q in range(2)}
    torch.save(books, tmp_path / "books.pt")
    opened = load_checkpoint(tmp_path / "books.pt")
    assert decode_held(Pipeline(opened, "cpu"), np.zeros((1, 8)), "smplx_rot6d", canonical_skeleton()) is None


def test_the_average_of_the_others_is_that_of_their_tokens():
    rng = np.random.default_rng(0)
    books = [rng.normal(size=(size, 3)) for size in (4, 5, 6)]
    tokens = [rng.integers(len(book), size=50) for book in books]
    shares = [np.bincount(chosen, minlength=len(book)) / 50 for chosen, book in zip(tokens, books, strict=True)]
    expected = sum(books[q][tokens[q]].mean(axis=0) for q in (0, 2))
    np.testing.assert_allclose(average_of_others(books, shares, 2), expected)
    np.testing.assert_array_equal(average_of_others(books[:1], shares[:1], 1), np.zeros(3))


@pytest.mark.parametrize("steps", [2, 5])
def test_a_line_holds_both_ends_and_even_steps(steps):
    start, end = np.array([0.0, 2.0]), np.array([4.0, -2.0])
    line = line_between(start, end, steps)
    np.testing.assert_array_equal(line[[0, -1]], [start, end])
    np.testing.assert_allclose(np.diff(line, axis=0), np.tile((end - start) / (steps - 1), (steps - 1, 1)))
