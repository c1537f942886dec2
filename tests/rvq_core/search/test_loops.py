"""The loops as compiled, and as Python would run them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rvq_core.search import loops, scores

N, C, K, Q = 17, 5, 131, 3  # more than two blocks of codes
RELATIVE, UNDERFLOW = 5e-7, 1e-36


@pytest.fixture(params=["compiled", "python"])
def run(request) -> Callable:
    """Runs a loop; what a loop calls is compiled in both cases."""
    return lambda loop, *args: (loop if request.param == "compiled" else in_python(loop))(*args)


def in_python(loop: Callable) -> Callable:
    """What was compiled; numba may be told to compile nothing."""
    return getattr(loop, "py_func", loop)


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, a codebook and its half squared lengths."""
    rng = np.random.default_rng(seed)
    tokens, codebook = (rng.standard_normal((n, C)).astype(np.float32) for n in (N, K))
    return tokens, codebook, (codebook**2).sum(axis=1) / 2


def chosen_by(run: Callable, tokens: np.ndarray, codebook: np.ndarray, half_norms: np.ndarray) -> np.ndarray:
    chosen = np.full((len(tokens), Q), -7)
    lengths, longest = np.linalg.norm(tokens, axis=1), np.linalg.norm(codebook, axis=1).max()
    run(
        loops.choose,
        tokens @ codebook.T,
        codebook,
        half_norms,
        longest,
        tokens,
        lengths,
        RELATIVE,
        UNDERFLOW,
        chosen,
        1,
    )
    assert (chosen[:, [0, 2]] == -7).all()  # other layers' are left alone
    return chosen[:, 1]


def nearest(tokens: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    return ((tokens[:, None].astype(np.float64) - codebook) ** 2).sum(axis=2).argmin(axis=1)


def test_the_nearest_codes_of_all_blocks_are_chosen(run):
    tokens, codebook, half_norms = data()
    wanted = np.array([0, 63, 64, 127, 128, 130, *range(20, 31)])
    tokens = codebook[wanted] + np.float32(1e-3) * tokens
    assert chosen_by(run, tokens, codebook, half_norms).tolist() == wanted.tolist()


@pytest.mark.parametrize("codes", [1, 5, 64, 65, 128])
def test_any_number_of_codes(run, codes):
    tokens, codebook, half_norms = data(1)
    found = chosen_by(run, tokens, codebook[:codes], half_norms[:codes])
    assert found.tolist() == nearest(tokens, codebook[:codes]).tolist()


def test_codes_closer_than_scores_can_tell_are_told_apart_in_float64(run):
    tokens, codebook, half_norms = data(2)
    for first, last in ((3, 5), (70, 129)):
        codebook[first:last] = tokens[0] * np.float32(1 + 1e-3)
        codebook[last] = codebook[first]
        codebook[last, 2] = np.nextafter(codebook[last, 2], tokens[0, 2])
    half_norms = (codebook**2).sum(axis=1) / 2
    assert chosen_by(run, tokens[:1], codebook, half_norms).tolist() == [5]  # the first of two equally near ones
    codebook[5], half_norms[5] = codebook[3], half_norms[3]
    assert chosen_by(run, tokens[:1], codebook, half_norms).tolist() == [129]


def test_the_margin_is_that_of_scores_after_one_narrowing(monkeypatch):
    monkeypatch.setattr(scores, "NARROWINGS", 1)
    rng = np.random.default_rng(9)
    for relative, underflow in ((5e-7, 1e-36), (1e-2, 1e-3)):
        for length, best, longest in rng.uniform([0, -8, 0.1], [4, 8, 4], (40, 3)).astype(np.float32):
            given = (np.float32(relative), np.float32(underflow))
            found = in_python(loops._margin)(length, best, longest, *given)
            wanted = scores.ScoreError(relative, underflow).margins(*torch.tensor([length, best, longest**2 / 2]))
            assert found == pytest.approx(float(wanted), rel=1e-5)


def test_a_code_at_infinity_is_never_chosen(run):
    tokens, codebook, half_norms = data(3)
    first = chosen_by(run, tokens, codebook, half_norms)
    half_norms[first] = np.inf
    second = chosen_by(run, tokens, codebook, half_norms)
    left = np.where(np.isfinite(half_norms)[:, None], codebook, 1e9)
    assert second.tolist() == nearest(tokens, left).tolist()


def test_what_is_no_number_gets_code_0(run):
    tokens, codebook, half_norms = data(4)
    wanted = chosen_by(run, tokens, codebook, half_norms)
    tokens[3], tokens[5] = np.nan, -np.nan
    wanted[[3, 5]] = 0
    assert chosen_by(run, tokens, codebook, half_norms).tolist() == wanted.tolist()


@pytest.mark.parametrize("asked", [True, False])
def test_tokens_move_on_by_their_codes(run, asked):
    tokens, codebook, _ = data(5)
    rng = np.random.default_rng(6)
    chosen = rng.integers(0, K, (N, Q))
    total, kept, pull = (rng.standard_normal((N, C)).astype(np.float32) for _ in range(3))
    wanted_total, wanted_pull, before = total.copy(), pull.copy(), tokens.copy()
    kept, pull = (kept, pull) if asked else (kept[:0], pull[:0])
    lengths = np.zeros(N, np.float32)
    squares = run(loops.move_on, codebook, chosen, 2, tokens, lengths, total, kept, pull)
    codes = codebook[chosen[:, 2]]
    left = before - codes
    np.testing.assert_array_equal(tokens, left)
    np.testing.assert_array_equal(total, wanted_total + codes)
    np.testing.assert_allclose(lengths, np.linalg.norm(left.astype(np.float64), axis=1), rtol=1e-6)
    assert squares == pytest.approx((left.astype(np.float64) ** 2).sum(), rel=1e-6)
    if asked:
        np.testing.assert_array_equal(kept, before)
        np.testing.assert_array_equal(pull, wanted_pull + left)


def test_half_squared_lengths(run):
    _, codebook, half_norms = data(7)
    found = np.zeros(K, np.float32)
    run(loops.half_squares, codebook, found)
    np.testing.assert_allclose(found, half_norms, rtol=1e-6)


def test_repeats_are_put_out_of_reach_and_no_other_code_of_the_same_length(run):
    codebook = np.array([[1, 0], [0, 1], [1, 0], [2, 0], [1, 0], [-0.0, 2], [2, -0.0], [0, 1]], np.float32)
    half_norms = (codebook**2).sum(axis=1) / 2
    run(loops.put_repeats_out_of_reach, codebook, half_norms.argsort(kind="stable"), half_norms)
    # The last one too equals an earlier code, but not the first of its length.
    assert half_norms.tolist() == [0.5, 0.5, np.inf, 2, np.inf, 2, np.inf, 0.5]


def test_floats_as_integers_are_in_the_same_order():
    rng = np.random.default_rng(8)
    values = np.concatenate([[-np.inf, -0.0, 0.0, np.inf, 1e-45, -1e-45], rng.standard_normal(50)]).astype(np.float32)
    values.sort()
    ordered = [in_python(loops._ordered)(value) for value in values]
    assert ordered == sorted(ordered)
    assert [in_python(loops._unordered)(each) for each in ordered] == values.tolist()
