import numpy as np
import pytest
import torch

from rvq_core import products

WAYS = [products.added, products.widened, products.by_onednn]


def data(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    codebook = torch.randn(7, 5, dtype=dtype)
    return torch.randn(11, 5, dtype=dtype), codebook, codebook.square().sum(dim=1) / 2


@pytest.fixture(autouse=True)
def _forget():
    products._fastest.cache_clear()
    yield
    products._fastest.cache_clear()


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_half_the_squared_distances_less_what_all_codes_share(way):
    tokens, codebook, half_norms = data()
    scores = way(codebook, half_norms)
    for some in (tokens[:3], tokens, tokens[4:5], tokens):  # more than before, and fewer again
        exact = some.double().numpy(), codebook.double().numpy()
        squared = ((exact[0][:, None] - exact[1]) ** 2).sum(axis=2)
        expected = (squared - (exact[0] ** 2).sum(axis=1, keepdims=True)) / 2
        np.testing.assert_allclose(scores(some).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_a_code_at_infinity_is_never_near(way):
    tokens, codebook, half_norms = data()
    half_norms[2] = torch.inf
    scores = way(codebook, half_norms)(tokens)
    assert (scores[:, 2] == torch.inf).all()
    assert scores[:, [0, 1, 3, 4, 5, 6]].isfinite().all()


@pytest.mark.parametrize("fastest", WAYS)
def test_the_fastest_is_taken(monkeypatch, fastest):
    tried = []

    def seconds(scores: products.Scores, tokens: torch.Tensor) -> list[float]:
        assert scores(tokens).shape == (len(tokens), 7)
        tried.append(scores.__qualname__.split(".")[0])
        return [3.0, 2.0 if tried[-1] == fastest.__name__ else 2.5]

    monkeypatch.setattr(products, "_seconds", seconds)
    tokens, codebook, half_norms = data()
    for _ in range(2):
        scores = products.scores_by(codebook, half_norms)
        assert scores.__qualname__.startswith(f"{fastest.__name__}.")
    assert tried == [way.__name__ for way in WAYS]  # once in a process
    torch.testing.assert_close(scores(tokens), half_norms - tokens @ codebook.t())


def test_a_try_counts_every_round_but_the_first(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(products.time, "thread_time", lambda: next(clock) ** 2)
    calls = []
    found = products._seconds(lambda tokens: calls.append(tokens) or tokens, torch.ones(2, 3))
    assert len(calls) == products.ROUNDS + 1
    assert found == [1, 5, 9, 13, 17]


def test_float64_and_a_torch_without_onednn_are_for_the_blas_alone(monkeypatch):
    monkeypatch.setattr(products, "by_onednn", lambda *_: pytest.fail("oneDNN has no such product"))
    tokens, codebook, half_norms = data(torch.float64)
    assert products.scores_by(codebook, half_norms)(tokens).dtype == torch.float64
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    products.scores_by(codebook.float(), half_norms.float())(tokens.float())
