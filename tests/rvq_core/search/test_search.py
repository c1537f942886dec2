import numpy as np
import pytest
import torch
from search_data import (
    DATA,
    by_float64,
    clustered_data,
    far_data,
    few_values,
    many_dimensions,
    near_tie_data,
    one_far_dimension,
    products_in,
    random_data,
    tiny_data,
)
from torch import Tensor

from rvq_core import load_checkpoint, load_clips, search
from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.search import by_torch, compiled, gumbel_codes, nearest_codes
from rvq_core.tokens import Pipeline


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def way(request, monkeypatch):
    """Both searches find what is asked here."""
    assert compiled.compiled_loops() is not None
    if request.param == "torch":
        monkeypatch.setattr(search, "compiled_loops", lambda: None)
    return request.param


def assert_exact(tokens: Tensor, codebook: Tensor) -> None:
    found = nearest_codes(tokens, codebook)
    assert found.dtype == torch.int64
    np.testing.assert_array_equal(found.numpy(), by_float64(tokens, codebook))


@pytest.mark.parametrize("data", DATA)
def test_agrees_with_brute_force_in_float64(data):
    assert_exact(*data())


@pytest.mark.parametrize("codes", [1, 2, 63, 64, 65, 127, 128, 300])
def test_agrees_with_brute_force_whatever_the_number_of_codes(codes):
    assert_exact(torch.randn(200, 5), torch.randn(codes, 5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_agrees_with_brute_force_in_another_precision(dtype):
    tokens, codebook = random_data()
    assert_exact(tokens.to(dtype), codebook.to(dtype))


def test_strides_and_gradients_of_what_is_given_do_not_matter():
    tokens, codebook = random_data()
    assert_exact(tokens[::3, 2:7], codebook.t()[3:8].t())
    with torch.enable_grad():
        found = nearest_codes(tokens.clone().requires_grad_(), codebook.clone().requires_grad_())
    np.testing.assert_array_equal(found.numpy(), by_float64(tokens, codebook))


def test_a_token_that_is_no_number_gets_a_code_like_any_other_and_spoils_none():
    tokens, codebook = random_data()
    broken = tokens.clone()
    broken[::5, 3] = float("nan")
    found = nearest_codes(broken, codebook)
    assert ((found >= 0) & (found < len(codebook))).all()
    whole = torch.arange(len(tokens)) % 5 > 0
    np.testing.assert_array_equal(found[whole].numpy(), by_float64(tokens[whole], codebook))


def test_hard_data_is_hard():
    # The plain float32 formula errs here; otherwise the tests above would show nothing.
    for data in (clustered_data, near_tie_data, far_data, one_far_dimension, tiny_data):
        tokens, codebook = data()
        scores = codebook.square().sum(1) - 2 * tokens @ codebook.t()
        assert (scores.argmin(1).numpy() != by_float64(tokens, codebook)).any(), data.__name__


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("data", [many_dimensions, few_values, near_tie_data])
def test_exact_where_torch_may_round_the_factors_of_a_product(precision, data):
    with products_in(precision):
        assert_exact(*data())


def test_exact_where_backends_are_set_apart(monkeypatch):
    # torch then refuses to tell a common precision, so the coarsest must be assumed.
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    tokens, codebook = many_dimensions()
    with products_in("medium"):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
        assert_exact(tokens, codebook)


def test_equal_codes_go_to_the_first():
    # 2,100 columns of few different codes: a matrix product may round equal columns differently by their position.
    distinct = torch.randn(37, 24)
    which = torch.randint(37, (2100,))
    tokens = distinct[torch.randint(37, (200,))] + 0.1 * torch.randn(200, 24)
    first = np.array([which.tolist().index(code) for code in by_float64(tokens, distinct)])
    np.testing.assert_array_equal(nearest_codes(tokens, distinct[which]).numpy(), first)


def test_ties_between_many_copies_of_different_codes_go_to_the_first():
    codebook = torch.tensor([[1.0], [-1.0]]).repeat(100, 1)
    assert nearest_codes(torch.tensor([[0.0], [-0.5], [0.5]]), codebook).tolist() == [0, 1, 0]
    assert nearest_codes(torch.tensor([[0.0], [-0.5], [0.5]]), -codebook).tolist() == [0, 0, 1]


def test_a_codebook_of_zeros_gives_index_0():
    assert nearest_codes(torch.randn(50, 8), torch.zeros(1024, 8)).unique().tolist() == [0]


def test_a_tie_in_the_middle_goes_to_the_lower_index():
    codebook = torch.tensor([[9.0], [1.0], [-1.0], [1.0]])
    assert nearest_codes(torch.tensor([[0.0], [1.0], [-5.0]]), codebook).tolist() == [1, 1, 2]


def test_agrees_with_brute_force_on_what_each_layer_of_the_bundled_checkpoint_sees():
    checkpoint = load_checkpoint(bundled_checkpoints() / "healthy.safetensors")
    pipeline = Pipeline(checkpoint, "cpu")
    clip = pipeline.fit(load_clips([bundled_clips() / "humanoid3d_cartwheel.npz"])[0])
    residual = pipeline.encode(clip).latents.t().contiguous()
    for codebook in checkpoint.codebooks:
        assert_exact(residual, codebook)
        residual = residual - codebook[nearest_codes(residual, codebook)]


@pytest.mark.parametrize("name", ["ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"])
@pytest.mark.parametrize("data", [many_dimensions, near_tie_data, one_far_dimension])
def test_exact_where_a_library_is_told_to_round(monkeypatch, name, data):
    monkeypatch.setenv(name, "BF16")
    assert_exact(*data())


@pytest.mark.parametrize("data", [many_dimensions, near_tie_data])
def test_exact_where_products_are_cast(data):
    with torch.autocast("cpu", torch.bfloat16):
        assert_exact(*data())


def test_16_mb_of_scores_are_held_on_a_cpu_and_256_on_a_gpu():
    for device, megabytes in (("cpu", 16), ("meta", 256)):
        search = by_torch.TorchSearch(torch.zeros(1024, 2, device=device))
        assert search.rows_at_once * 1024 * 4 == megabytes << 20
        assert by_torch.TorchSearch(torch.zeros(1, 2, device=device)).rows_at_once * 4 == megabytes << 20
    assert by_torch.TorchSearch(torch.zeros((1 << 22) + 1, 1)).rows_at_once == 1


def test_codes_that_are_tokens_of_the_batch():
    # As after initialisation: a third of the tokens leaves nothing, or a rounding error, to a layer of such codes.
    tokens = torch.randn(300, 16)
    codebook = tokens[:100] * (1 + 1e-7 * torch.randn(100, 1))
    left = tokens - codebook[nearest_codes(tokens, codebook)]
    assert_exact(left, torch.cat([left[:80], left[50:90], left[200:250]]))


def test_one_code_and_no_tokens():
    assert nearest_codes(torch.randn(4, 3), torch.randn(1, 3)).tolist() == [0, 0, 0, 0]
    none = nearest_codes(torch.empty(0, 3), torch.randn(5, 3))
    assert none.shape == (0,)
    assert none.dtype == torch.int64


@pytest.mark.parametrize("scores", [1, 250, 300])
def test_chunks_do_not_matter(monkeypatch, scores):
    # One token at a time; two of 100 codes each; the last chunk shorter than the others.
    monkeypatch.setattr(by_torch, "CHUNK_SCORES", scores)
    monkeypatch.setattr(compiled, "HELD_SCORES", scores)
    for data in (random_data, far_data, few_values):
        assert_exact(*(values[:101] for values in data()))


def test_nothing_is_written_to():
    tokens, codebook = far_data()
    before = tokens.clone(), codebook.clone()
    nearest_codes(tokens, codebook)
    gumbel_codes(tokens, codebook, 0.5)
    assert torch.equal(tokens, before[0])
    assert torch.equal(codebook, before[1])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 5.0])
def test_gumbel_frequencies_are_the_softmax_of_distances(monkeypatch, temperature):
    monkeypatch.setattr(search, "CHUNK_SCORES", 4 * 7000)
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0], [-1.0, 0.5]])
    token = torch.tensor([0.4, 0.3])
    distance = ((codebook - token) ** 2).sum(1).double().numpy()
    expected = np.exp(-distance / temperature) / np.exp(-distance / temperature).sum()
    drawn = np.bincount(gumbel_codes(token.expand(20_000, 2), codebook, temperature).numpy(), minlength=4) / 20_000
    # Four standard deviations of a share of 20,000 draws are at most 0.014.
    np.testing.assert_allclose(drawn, expected, atol=0.014)


def test_gumbel_draws_each_token_anew_and_by_the_seed():
    tokens, codebook = torch.zeros(200, 2), torch.eye(2)
    torch.manual_seed(5)
    first = gumbel_codes(tokens, codebook, 1.0)
    second = gumbel_codes(tokens, codebook, 1.0)
    torch.manual_seed(5)
    assert torch.equal(gumbel_codes(tokens, codebook, 1.0), first)
    assert not torch.equal(second, first)
    assert 60 < int(first.sum()) < 140
