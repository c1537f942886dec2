import numpy as np
import pytest
import torch

from rvq_core.search import products

WAYS = [products.by_blas, products.by_onednn]


def data() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(11, 5), torch.randn(7, 5)


@pytest.fixture(autouse=True)
def _forget():
    products._fastest.cache_clear()
    yield
    products._fastest.cache_clear()


@pytest.mark.parametrize("way", WAYS)
def test_each_token_with_each_code(way):
    tokens, codebook = data()
    found = way(codebook)
    for some in (tokens[:3], tokens, tokens[4:5], tokens):  # more than before, and fewer again
        expected = np.einsum("nc,kc->nk", some.double().numpy(), codebook.double().numpy())
        np.testing.assert_allclose(found(some).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fastest", WAYS)
def test_the_fastest_is_taken(monkeypatch, fastest):
    tried = []

    def seconds(found: products.Products, tokens: torch.Tensor) -> list[float]:
        assert found(tokens).shape == (len(tokens), 7)
        tried.append(found.__qualname__.split(".")[0])
        return [3.0, 2.0 if tried[-1] == fastest.__name__ else 2.5]

    monkeypatch.setattr(products, "_seconds", seconds)
    tokens, codebook = data()
    for _ in range(2):
        found = products.products_with(codebook)
        assert found.__qualname__.startswith(f"{fastest.__name__}.")
    assert tried == [way.__name__ for way in WAYS]  # once in a process
    torch.testing.assert_close(found(tokens), tokens @ codebook.t())


def test_a_try_counts_every_round_but_the_first(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(products.time, "thread_time", lambda: next(clock) ** 2)
    calls = []
    found = products._seconds(lambda tokens: calls.append(tokens) or tokens, torch.ones(2, 3))
    assert len(calls) == products.ROUNDS + 1
    assert found == [1, 5, 9, 13, 17]


def test_a_torch_without_onednn_leaves_it_to_the_blas(monkeypatch):
    monkeypatch.setattr(products, "by_onednn", lambda *_: pytest.fail("oneDNN has no such product"))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    tokens, codebook = data()
    torch.testing.assert_close(products.products_with(codebook)(tokens), tokens @ codebook.t())
