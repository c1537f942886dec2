"""The loops as compiled, and as Python would run them, with numpy where LLVM is told what to do."""

from collections.abc import Callable
from types import FunctionType

import numba
import numpy as np
import pytest
import torch

from rvq_core.search import loops, scores
from rvq_core.search.loops import CODES, LANES, ROWS

N, C, K, Q = 2 * ROWS + 5, 5, 4 * CODES + 3, 3  # tiles that are not full, and more than one group of panels
RELATIVE, UNDERFLOW = 5e-7, 1e-36


def tile(tokens, first, panels, panel, half_norms, found, row, lows, group) -> None:
    """What ``loops.tile`` is to do."""
    codes, lanes = slice(panel * CODES, (panel + 1) * CODES), slice(group * LANES, (group + 1) * LANES)
    some = tokens[np.minimum(np.arange(first, first + ROWS), len(tokens) - 1)]
    found[row : row + ROWS, codes] = half_norms[codes] - some @ panels[panel]
    for vector in found[row : row + ROWS, codes].reshape(ROWS, -1, LANES).swapaxes(0, 1):
        here = lows[row : row + ROWS, lanes]
        here[:] = np.where(vector < here, vector, here)


STAND_INS = {
    "tile": tile,
    "least": lambda lows, row: lows[row].min(),
    "lanes_within": lambda lows, row, column, limit: sum(
        int(lows[row, column + lane] <= limit) << lane for lane in range(LANES)
    ),
}


def in_python(loop: Callable) -> Callable:
    """What was compiled, and all that it calls; numba may be told to compile nothing."""
    plain = getattr(loop, "py_func", loop)
    names = {name: value for name, value in plain.__globals__.items() if name not in STAND_INS}
    names |= STAND_INS | {
        name: in_python(value)
        for name, value in names.items()
        if name in plain.__code__.co_names and (hasattr(value, "py_func") or _is_loop(value))
    }
    return FunctionType(plain.__code__, names)


def _is_loop(value: object) -> bool:
    return bool(numba.config.DISABLE_JIT) and isinstance(value, FunctionType) and value.__module__ == loops.__name__


@pytest.fixture(params=["python"] if numba.config.DISABLE_JIT else ["compiled", "python"])
def run(request) -> Callable:
    """Runs a loop."""
    return lambda loop, *args: (loop if request.param == "compiled" else in_python(loop))(*args)


compiled_only = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="numba compiles nothing")


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and a codebook."""
    rng = np.random.default_rng(seed)
    tokens, codebook = (rng.standard_normal((n, C)).astype(np.float32) for n in (N, K))
    return tokens, codebook


def ready(run: Callable, codebook: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Panels, half squared lengths and the largest length, written into what holds something else."""
    many = -(-len(codebook) // CODES)
    panels = np.full((many, codebook.shape[1], CODES), 7, np.float32)
    half_norms = np.full(many * CODES, 7, np.float32)
    return panels, half_norms, run(loops.make_ready, codebook, panels, half_norms)


def chosen_by(run: Callable, tokens: np.ndarray, codebook: np.ndarray, out_of_reach: list[int] | None = None) -> list:
    """Indices by ``through_layer``, which is to leave all else as it is."""
    panels, half_norms, longest = ready(run, codebook)
    half_norms[out_of_reach or []] = np.inf
    chosen, before = np.full((len(tokens), Q), -7), tokens.copy()
    found, nothing = np.zeros((ROWS, len(half_norms)), np.float32), tokens[:0]
    args = codebook, panels, half_norms, longest, RELATIVE, UNDERFLOW, found, tokens, chosen, 1
    assert run(loops.through_layer, *args, nothing, nothing, nothing) == 0
    assert (chosen[:, [0, 2]] == -7).all()  # other layers' are left alone
    np.testing.assert_array_equal(tokens, before)
    return chosen[:, 1].tolist()


def nearest(tokens: np.ndarray, codebook: np.ndarray) -> list:
    return ((tokens[:, None].astype(np.float64) - codebook) ** 2).sum(axis=2).argmin(axis=1).tolist()


class TestWordsForLLVM:
    """Each of the intrinsics alone against what stands in for it here."""

    pytestmark = compiled_only

    @pytest.mark.parametrize(("first", "panel", "row", "group"), [(0, 0, 0, 0), (3, 4, ROWS, 1), (N - 2, 2, 0, 1)])
    def test_a_tile(self, first, panel, row, group):
        tokens, codebook = data(1)
        panels, half_norms, _ = ready(lambda loop, *args: loop(*args), codebook)
        rng = np.random.default_rng(2)
        found = rng.standard_normal((2 * ROWS, len(half_norms))).astype(np.float32)
        lows = rng.standard_normal((2 * ROWS, 2 * LANES)).astype(np.float32)
        wanted = found.copy(), lows.copy()
        tile(tokens, first, panels, panel, half_norms, wanted[0], row, wanted[1], group)
        in_numba(loops.tile, tokens, first, panels, panel, half_norms, found, row, lows, group)
        for one, other in zip((found, lows), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert np.isinf(found).sum() == np.isinf(wanted[0]).sum()

    @pytest.mark.parametrize("name", ["least", "lanes_within"])
    def test_lows(self, name):
        lows = np.random.default_rng(3).standard_normal((3, 4 * LANES)).astype(np.float32)
        lows[2, ::3] = np.inf
        for row in range(3):
            for column in range(0, 4 * LANES, LANES):
                limit = lows[row, column + 2]  # reached by that one too
                args = (lows, row) if name == "least" else (lows, row, column, limit)
                assert in_numba(getattr(loops, name), *args) == STAND_INS[name](*args)

    def test_what_is_no_number_is_neither_least_nor_within(self):
        lows = np.full((1, 2 * LANES), np.inf, np.float32)
        lows[0, [0, 3, LANES + 1]] = np.nan
        assert in_numba(loops.lanes_within, lows, 0, 0, np.float32(1e30)) == 0
        assert in_numba(loops.lanes_within, lows, 0, LANES, np.float32(np.nan)) == 0
        lows[0, 2] = -2
        assert in_numba(loops.lanes_within, lows, 0, 0, np.float32(-2)) == 1 << 2


def in_numba(intrinsic: Callable, *args: object) -> object:
    """What an intrinsic gives, called from compiled code."""
    words = ", ".join(f"a{i}" for i in range(len(args)))
    made: dict[str, Callable] = {}
    exec(f"def call({words}):\n    return intrinsic({words})", {"intrinsic": intrinsic}, made)
    return numba.njit(made["call"])(*args)


@pytest.mark.parametrize(
    ("features", "numbers"), [({"avx2", "avx512f"}, 32 * 16), ({"avx2"}, 16 * 8), ({"neon"}, 32 * 4), (set(), 32 * 4)]
)
def test_tiles_fit_into_registers(features, numbers):
    lanes, rows, vectors = loops.tile_shape(features)
    # The sums, a vector of each panel, and one of a token.
    assert 0.8 * numbers <= lanes * (rows * vectors + vectors + 1) <= numbers


def test_the_shape_is_that_of_what_numba_is_told(monkeypatch):
    monkeypatch.setattr(loops.config, "CPU_FEATURES", "+avx2,-avx512f,+fma")
    assert loops._features() == {"avx2", "fma"}
    monkeypatch.setattr(loops.config, "CPU_FEATURES", None)
    monkeypatch.setattr(loops, "get_host_cpu_features", lambda: "+avx2,-avx512f")
    assert loops._features() == {"avx2"}


def test_the_nearest_codes_of_all_panels_are_chosen(run):
    tokens, codebook = data()
    wanted = np.array([0, LANES - 1, LANES, CODES - 1, CODES, 4 * CODES - 1, 4 * CODES, K - 1, *range(20, 20 + N - 8)])
    tokens = codebook[wanted] + np.float32(1e-3) * tokens
    assert chosen_by(run, tokens, codebook) == wanted.tolist()


@pytest.mark.parametrize("codes", [1, 5, CODES - 1, CODES, CODES + 1, 4 * CODES])
def test_any_number_of_codes(run, codes):
    tokens, codebook = data(1)
    assert chosen_by(run, tokens, codebook[:codes]) == nearest(tokens, codebook[:codes])


@pytest.mark.parametrize("tokens", [1, ROWS - 1, ROWS, ROWS + 1])
def test_any_number_of_tokens(run, tokens):
    given, codebook = data(1)
    assert chosen_by(run, given[:tokens], codebook) == nearest(given[:tokens], codebook)


# In one panel, in another one of its group, and in another group; each pair in both orders of lanes.
@pytest.mark.parametrize("codes", [(3, 5), (5, LANES + 3), (LANES + 3, CODES + 1), (CODES, 4 * CODES + 2), (1, K - 2)])
def test_codes_closer_than_scores_can_tell_are_told_apart_in_float64(run, codes):
    tokens, codebook = data(2)
    first, last = codes
    codebook[first] = tokens[0] * np.float32(1 + 1e-3)
    codebook[last] = codebook[first]
    codebook[last, 2] = np.nextafter(codebook[last, 2], tokens[0, 2])
    assert chosen_by(run, tokens[:1], codebook) == [last]
    codebook[[first, last]] = codebook[[last, first]]
    assert chosen_by(run, tokens[:1], codebook) == [first]


def test_of_codes_that_are_equally_near_the_first_is_chosen(run):
    # On a sphere about the token, of different lengths, so that none is a repeat of another.
    tokens, codebook = np.zeros((1, C), np.float32), data(4)[1] + 10
    tokens[0, 0] = 8.0
    for place, k in enumerate([2 * CODES + 1, LANES + 2, 3, 4 * CODES + 1, CODES - 1]):
        codebook[k] = tokens[0]
        codebook[k, place] += np.float32(0.25)
    assert chosen_by(run, tokens, codebook) == [3]
    assert chosen_by(run, tokens, codebook, out_of_reach=[3]) == [LANES + 2]
    assert chosen_by(run, tokens, codebook, out_of_reach=[3, LANES + 2, CODES - 1]) == [2 * CODES + 1]


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
    tokens, codebook = data(3)
    first = chosen_by(run, tokens, codebook)
    left = codebook.copy()
    left[first] = 1e9
    assert chosen_by(run, tokens, codebook, out_of_reach=first) == nearest(tokens, left)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_is_no_number_gets_code_0(run):
    tokens, codebook = data(4)
    wanted = chosen_by(run, tokens, codebook)
    tokens[3], tokens[5], tokens[7, 1] = np.nan, -np.nan, np.inf
    for token in (3, 5, 7):
        wanted[token] = 0
    assert chosen_by(run, tokens, codebook) == wanted


@pytest.mark.parametrize("q", [0, 2])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_tokens_move_on_by_their_codes(run, q, in_place, asked):
    tokens, codebook = data(5)
    panels, half_norms, longest = ready(run, codebook)
    rng = np.random.default_rng(6)
    total, pull, left = (rng.standard_normal((N, C)).astype(np.float32) for _ in range(3))
    before = [array.copy() for array in (tokens, total, pull)]
    left = tokens if in_place else left
    pull = pull if asked else pull[:0]
    chosen, found = np.full((N, Q), -7), np.zeros((2 * ROWS, len(half_norms)), np.float32)
    args = codebook, panels, half_norms, longest, RELATIVE, UNDERFLOW, found, tokens, chosen, q, left, total, pull
    squares = run(loops.through_layer, *args)
    codes = codebook[chosen[:, q]]
    assert chosen[:, q].tolist() == nearest(before[0], codebook)
    np.testing.assert_array_equal(left, before[0] - codes)
    np.testing.assert_array_equal(tokens, left if in_place else before[0])
    np.testing.assert_array_equal(total, codes if q == 0 else before[1] + codes)
    assert squares == pytest.approx((left.astype(np.float64) ** 2).sum(), rel=1e-6)
    if asked:
        np.testing.assert_array_equal(pull, left if q == 0 else before[2] + left)


def test_a_total_begins_with_zero_as_any_sum_of_codes_does(run):
    codebook = np.array([[-0.0, 3], [9, 9]], np.float32)
    panels, half_norms, longest = ready(run, codebook)
    total, chosen = np.full((1, 2), np.nan, np.float32), np.zeros((1, 1), np.int64)
    left, found = np.zeros((1, 2), np.float32), np.zeros((ROWS, len(half_norms)), np.float32)
    args = codebook, panels, half_norms, longest, RELATIVE, UNDERFLOW, found
    run(loops.through_layer, *args, np.ones((1, 2), np.float32), chosen, 0, left, total, left[:0])
    assert total.tolist() == [[0, 3]]
    assert not np.signbit(total).any()


@pytest.mark.parametrize("codes", [2, K])
def test_codes_are_laid_out_side_by_side(run, codes):
    codebook = data(7)[1][:codes] / 10
    panels, half_norms, longest = ready(run, codebook)
    np.testing.assert_array_equal(panels.swapaxes(1, 2).reshape(-1, C)[:codes], codebook)
    assert not panels.swapaxes(1, 2).reshape(-1, C)[codes:].any()
    squares = (codebook.astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(half_norms[:codes], squares / 2, rtol=1e-6)
    assert np.isinf(half_norms[codes:]).all() and len(half_norms) > codes
    assert longest == pytest.approx(np.sqrt(squares.max()), rel=1e-6)


def test_repeats_are_put_out_of_reach_and_no_other_code_of_the_same_length(run):
    codebook = np.array([[1, 0], [0, 1], [1, 0], [2, 0], [1, 0], [-0.0, 2], [2, -0.0], [0, 1]], np.float32)
    _, half_norms, longest = ready(run, codebook)
    # The last one too equals an earlier code, but not the first of its length.
    assert half_norms[:8].tolist() == [0.5, 0.5, np.inf, 2, np.inf, 2, np.inf, 0.5]
    assert longest == 2


def test_the_same_repeats_are_found_as_by_torch(run):
    # Few lengths, so that many codes meet in the table that they are looked up in.
    rng = np.random.default_rng(8)
    codebook = rng.integers(-2, 3, (K, 3)).astype(np.float32)
    _, half_norms, _ = ready(run, codebook)
    repeats = scores.repeats(torch.from_numpy(codebook), torch.from_numpy((codebook**2).sum(axis=1) / 2))
    assert np.isinf(half_norms[:K]).tolist() == repeats.tolist()
    assert 0 < repeats.sum() < K
