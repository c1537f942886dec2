import numpy as np
import pytest
import torch

from rvq_core.clips.smplx import canonical_skeleton
from rvq_core.code_motion import (
    average_of_others,
    come_and_go,
    decode_held,
    decode_joints,
    line_between,
    share_of_way,
    way_in_time,
)
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


def test_a_code_comes_onto_what_is_there_and_goes_again():
    code, without = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, -0.5])
    latents = come_and_go(code, without, held=2)
    expected = np.tile(without, (10, 1))
    expected[4:6] += code
    np.testing.assert_array_equal(latents, expected.T)


def test_a_way_stays_at_its_ends_and_is_straight_between_them():
    start, end = np.array([0.0, 2.0]), np.array([4.0, -2.0])
    share, way = share_of_way(), way_in_time(start, end)
    assert way.shape == (2, len(share))
    assert (share[:4] == 0).all() and (share[-4:] == 1).all()
    np.testing.assert_allclose(np.diff(share[4:-4]), 1 / (len(share) - 9))
    np.testing.assert_allclose(way, start[:, None] * (1 - share) + end[:, None] * share)


def test_latents_that_change_are_decoded_in_their_order(make_checkpoint, oracle, numpy_joints):
    path = make_checkpoint()
    ckpt = load_checkpoint(path)
    plain = oracle(path)
    latents = np.random.default_rng(0).normal(size=(2, 8, 5))
    joints = decode_joints(Pipeline(ckpt, "cpu"), latents, "smplx_rot6d", None)
    assert joints is not None
    for one, latent in zip(joints, latents, strict=True):
        expected = numpy_joints(plain.decode(latent.T) * plain.scale + plain.mean)
        np.testing.assert_allclose(one[:, :22] - one[:, :1], expected - expected[:, :1], atol=2e-4)
