import numpy as np
import pytest
import torch

from rvq_core import products

WAYS = [products._by_onednn, products._by_blas]


def data(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    codebook = torch.randn(7, 5, dtype=dtype)
    return torch.randn(11, 5, dtype=dtype), codebook, codebook.square().sum(dim=1) / 2


@pytest.fixture(autouse=True)
def _forget():
    products._onednn_wins.cache_clear()
    yield
    products._onednn_wins.cache_clear()


@pytest.mark.parametrize("by", WAYS)
def test_scores_are_half_the_squared_distances_less_what_all_codes_share(by):
    tokens, codebook, half_norms = data()
    scores = by(codebook, half_norms)
    for some in (tokens, tokens[:3], tokens[4:5], tokens):  # also fewer than before, and more again
        exact = some.double().numpy(), codebook.double().numpy()
        squared = ((exact[0][:, None] - exact[1]) ** 2).sum(axis=2)
        expected = (squared - (exact[0] ** 2).sum(axis=1, keepdims=True)) / 2
        np.testing.assert_allclose(scores(some).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("faster", [0, 1])
def test_the_faster_one_is_taken(monkeypatch, faster):
    tried = []

    def seconds(scores: products.Scores, tokens: torch.Tensor) -> list[float]:
        assert scores(tokens).shape == (len(tokens), 7)
        tried.append(scores)
        return [3.0, 2.0 if len(tried) - 1 == faster else 2.5]

    monkeypatch.setattr(products, "_seconds", seconds)
    taken = []
    for number, name in enumerate(("_by_onednn", "_by_blas")):
        way = WAYS[number]
        monkeypatch.setattr(products, name, lambda *given, n=number, way=way: taken.append(n) or way(*given))
    tokens, codebook, half_norms = data()
    for _ in range(2):
        products.scores_by(codebook, half_norms)(tokens)
    assert len(tried) == 2  # once in a process
    assert taken[-2:] == [faster, faster]


def test_a_try_counts_every_round_but_the_first(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(products.time, "thread_time", lambda: next(clock) ** 2)
    calls = []
    found = products._seconds(lambda tokens: calls.append(tokens) or tokens, torch.ones(2, 3))
    assert len(calls) == products.ROUNDS + 1
    assert found == [1, 5, 9, 13, 17]


def test_float64_is_for_the_blas_alone(monkeypatch):
    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(products, "_by_onednn", refused)
    tokens, codebook, half_norms = data(torch.float64)
    assert products.scores_by(codebook, half_norms)(tokens).dtype == torch.float64
