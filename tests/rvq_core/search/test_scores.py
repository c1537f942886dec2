import numba
import numpy as np
import pytest
import torch
from search_data import far_data, many_dimensions, one_far_dimension, products_in, random_data

from rvq_core.search import loops, scores
from rvq_core.search.scores import ScoreError, roundoff_of_factors


def bound_of(tokens: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """By the formula of its docstring, in float64: gamma_{C+2} (|x| |c| + |c|^2 / 2)."""
    terms = codebook.shape[1] + 2
    gamma = terms * 2.0**-24 / (1 - terms * 2.0**-24)
    lengths = codebook.double().norm(dim=1)
    return gamma * (tokens.double().norm(dim=1, keepdim=True) * lengths + lengths**2 / 2)


def test_the_bound_is_that_of_a_float32_sum():
    tokens, codebook = random_data()
    half_norms = codebook.square().sum(dim=1) / 2
    bound = ScoreError.of(codebook, roundoff_of_factors()).bound(tokens.norm(dim=1, keepdim=True), half_norms)
    np.testing.assert_allclose(bound, bound_of(tokens, codebook), rtol=1e-5)


@pytest.mark.parametrize(("precision", "bits"), [("highest", None), ("high", 11), ("medium", 8)])
def test_factors_that_may_be_rounded_add_to_it(precision, bits):
    # Both factors of a product by a share of 2^-bits at most: (1 + u)^2 - 1.
    codebook = torch.randn(4, 30)
    gamma = 32 * 2.0**-24 / (1 - 32 * 2.0**-24)
    rounded = 0.0 if bits is None else (1 + 2.0**-bits) ** 2 - 1
    with products_in(precision):
        error = ScoreError.of(codebook, roundoff_of_factors())
    assert error.relative == pytest.approx(gamma + rounded, rel=1e-12, abs=0)
    assert error.underflow == pytest.approx(32 * 2.0**-126, rel=1e-12, abs=0)


def test_where_backends_are_set_apart_the_coarsest_is_assumed(monkeypatch):
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert ScoreError.of(torch.randn(4, 30), roundoff_of_factors()).relative > 2 * 2.0**-8


def test_margins_narrow_as_they_are_said_to():
    # In float64, a token and a step at a time.
    tokens, codebook = random_data()
    codebook[3] *= 50
    half_norms = codebook.square().sum(dim=1) / 2
    error, lengths, largest = (
        ScoreError.of(codebook, roundoff_of_factors()),
        tokens.norm(dim=1, keepdim=True),
        half_norms.max(),
    )
    best = (half_norms - tokens @ codebook.t()).amin(dim=1, keepdim=True)
    found = error.margins(lengths, best, largest)
    for token, (length, score) in enumerate(zip(lengths.double().tolist(), best.double().tolist(), strict=True)):
        reach, longest = np.inf, float(2 * largest) ** 0.5
        for _ in range(4):
            code = min(reach, longest)
            margin = 2 * (error.relative * (length[0] * code + code**2 / 2) + error.underflow)
            squared = (1 + error.relative) * length[0] ** 2 + 2 * score[0] + 4 * margin
            reach = length[0] + max(squared, 0.0) ** 0.5
        assert float(found[token]) == pytest.approx(margin, rel=1e-4, abs=0)


@pytest.mark.parametrize("name", ["ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"])
def test_a_library_told_to_round_widens_the_margin(monkeypatch, name):
    tokens, codebook = many_dimensions()
    norms, half_norms = tokens.norm(dim=1, keepdim=True), codebook.square().sum(dim=1) / 2
    strict = ScoreError.of(codebook, roundoff_of_factors()).bound(norms, half_norms)
    monkeypatch.setenv(name, "STRICT")
    assert torch.equal(ScoreError.of(codebook, roundoff_of_factors()).bound(norms, half_norms), strict)
    monkeypatch.setenv(name, "BF16")
    assert (ScoreError.of(codebook, roundoff_of_factors()).bound(norms, half_norms) > 100 * strict).all()


@pytest.mark.parametrize("data", [random_data, far_data, one_far_dimension, many_dimensions])
def test_the_bound_of_a_score_holds(data):
    tokens, codebook = data()
    half_norms = codebook.square().sum(dim=1) / 2
    true = codebook.double().square().sum(dim=1) / 2 - tokens.double() @ codebook.double().t()
    bound = ScoreError.of(codebook, 0.0).bound(tokens.norm(dim=1, keepdim=True), half_norms)
    apart = half_norms - tokens @ codebook.t()
    together = torch.addmm(half_norms, tokens, codebook.t(), alpha=-1)
    for found in (apart, together, *by_tiles(tokens, codebook)):
        assert ((found.double() - true).abs() <= bound).all()


def by_tiles(tokens: torch.Tensor, codebook: torch.Tensor) -> list[torch.Tensor]:
    """Scores as compiled loops take them; nothing where numba compiles nothing."""
    if numba.config.DISABLE_JIT:
        return []
    panels = torch.empty(-(-len(codebook) // loops.CODES), codebook.shape[1], loops.CODES).numpy()
    half_norms = np.empty(len(panels) * loops.CODES, np.float32)
    ready = (codebook.numpy(), panels, half_norms, loops.make_ready(codebook.numpy(), panels, half_norms), 1e-6, 0.0)
    rows = -(-len(tokens) // loops.ROWS) * loops.ROWS  # all tokens at once, so that all scores are held in the end
    found, chosen = np.empty((rows, len(half_norms)), np.float32), np.zeros((len(tokens), 1), np.int64)
    nothing = tokens[:0].numpy()
    loops.through_layer(*ready, found, tokens.numpy(), chosen, 0, nothing, nothing, nothing)
    return [torch.from_numpy(found[: len(tokens), : len(codebook)])]


def test_margins_hold_every_code_that_may_be_the_nearest_and_few_others():
    # One code lies far out: by its length alone every token would have hundreds of codes to be decided between.
    tokens, codebook = random_data()
    codebook[7] = 1e5
    half_norms = codebook.square().sum(dim=1) / 2
    error, norms, largest = (
        ScoreError.of(codebook, roundoff_of_factors()),
        tokens.norm(dim=1, keepdim=True),
        half_norms.max(),
    )
    found = half_norms - tokens @ codebook.t()
    best = found.amin(dim=1, keepdim=True)
    true = (codebook.double().square().sum(dim=1) / 2 - tokens.double() @ codebook.double().t()).argmin(dim=1)
    margins = error.margins(norms, best, largest)
    assert (found.gather(1, true[:, None]) <= best + margins).all()
    assert (margins < 1e-3 * error.widest_margin(norms, largest)).all()


def test_repeats_are_told_from_codes_of_the_same_length():
    codebook = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [-0.0, 2.0], [2.0, -0.0]])
    repeats = scores.repeats(codebook, codebook.square().sum(dim=1) / 2)
    assert repeats.tolist() == [False, False, True, False, True, False, True]
