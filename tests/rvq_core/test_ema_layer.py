"""One layer: its results, how its codebook learns, and codes drawn by temperature."""

import copy
import math

import numpy as np
import pytest
import torch
from quantizers import (
    C,
    K,
    Q,
    as_tokens,
    assert_same_state,
    build,
    latents,
    nearest,
    perplexity_of,
    quantized_by_hand,
    snapshot,
    trained,
)
from torch import Tensor

from rvq_core import ResidualVQ
from rvq_core.ema_layer import QuantizeEMAReset, batch_perplexity

# One layer


def test_a_layer_returns_its_four_results():
    layer = trained(1).eval().layers[0]
    x = latents()
    x_d, idx, loss, perplexity = layer(x)
    wanted, residuals, losses = quantized_by_hand(x, layer.codebook[None])
    assert idx.dtype == torch.int64
    assert idx.shape == (5, 7)
    np.testing.assert_array_equal(idx.flatten().numpy(), wanted[:, 0])
    np.testing.assert_allclose(as_tokens(x_d), residuals[0] - residuals[1], atol=1e-6)
    np.testing.assert_allclose([loss.item(), perplexity.item()], [losses[0], perplexity_of(wanted[:, 0])], rtol=1e-5)
    without = layer(x, return_idx=False)
    assert len(without) == 3
    assert torch.equal(without[0], x_d)
    far = layer((x + 1000).requires_grad_())
    assert torch.equal(far[0], layer.dequantize(far[1]).transpose(1, 2))
    assert not far[0].requires_grad


def test_a_layer_alone_learns_as_a_stack_of_one():
    stack = build(1)
    layer = copy.deepcopy(stack.layers[0])
    for _ in range(3):
        x = latents().requires_grad_()
        state = torch.get_rng_state()
        expected = stack(x)
        torch.set_rng_state(state)
        x_d, idx, loss, perplexity = layer(x, return_idx=True)
        assert torch.equal(x_d, expected[0])
        assert torch.equal(idx, expected[1][..., 0])
        assert torch.equal(loss, expected[2])
        assert torch.equal(perplexity, expected[3])
        upstream = torch.randn_like(x)
        assert torch.equal(torch.autograd.grad(x_d, x, upstream)[0], upstream)
    assert_same_state(layer.state_dict(), stack.layers[0].state_dict())


# Learning: EMA, initialisation and reset


@pytest.mark.parametrize("mu", [0.99, 0.5])
def test_an_ema_step_by_hand(mu):
    quantizer = trained(2, mu=mu, reset_threshold=0.0)
    for _ in range(2):
        before = [(layer.code_sum.double().numpy(), layer.code_count.double().numpy()) for layer in quantizer.layers]
        before = [(sums.copy(), counts.copy()) for sums, counts in before]
        x = latents()
        indices, residuals, _ = quantized_by_hand(x, quantizer.codebooks)
        quantizer(x)
        for q, layer in enumerate(quantizer.layers):
            counts = mu * before[q][1] + (1 - mu) * np.bincount(indices[:, q], minlength=K)
            sums = np.zeros((K, C))
            np.add.at(sums, indices[:, q], residuals[q])
            sums = mu * before[q][0] + (1 - mu) * sums
            np.testing.assert_allclose(layer.code_count.numpy(), counts, rtol=1e-5)
            np.testing.assert_allclose(layer.code_sum.numpy(), sums, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(layer.codebook.numpy(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_the_first_batch_fills_the_codebook_with_its_tokens():
    x = latents()
    layer = QuantizeEMAReset(K, C)
    layer.initialise(x.transpose(1, 2).reshape(-1, C))
    rows = rows_of(layer.codebook, as_tokens(x))
    assert len(set(rows)) == K
    assert rows != sorted(rows), "in random order, not the first ones"
    assert torch.equal(layer.code_sum, layer.codebook)
    assert torch.equal(layer.code_count, torch.ones(K))
    assert bool(layer.init)


def test_each_layer_is_initialised_with_what_reaches_it(monkeypatch):
    # Without the step that follows, codebooks show what they were filled with.
    monkeypatch.setattr(QuantizeEMAReset, "update_codebook", lambda *_: torch.ones(()))
    quantizer = build(2)
    x = latents()
    indices = quantizer(x)[1]
    tokens = x.transpose(1, 2).reshape(-1, C)
    left = tokens - quantizer.layers[0].codebook[indices[..., 0].flatten()]
    assert len(set(rows_of(quantizer.layers[0].codebook, tokens.double().numpy()))) == K
    wanted = {tuple(row) for row in left.tolist()}
    assert all(tuple(row) in wanted for row in quantizer.layers[1].codebook.tolist())


def test_eval_neither_initialises_nor_learns():
    for quantizer in (build().eval(), trained().eval()):
        before = snapshot(quantizer)
        quantizer(latents())
        assert_same_state(snapshot(quantizer), before)


def rows_of(codebook: Tensor, tokens: np.ndarray) -> list[int]:
    """Which token each code equals exactly."""
    same = (codebook.double().numpy()[:, None] == tokens[None]).all(-1)
    assert (same.sum(1) == 1).all()
    return same.argmax(1).tolist()


def test_only_codes_below_the_threshold_are_reset():
    layer = trained(1, mu=0.5).layers[0]
    x = latents()
    layer.code_count.copy_(torch.tensor([0.0, 5.0, 0.1, 5.0, 0.0, 5.0, 0.0, 5.0]))
    # Nothing comes near codes 0, 2, 4 and 6, nor near code 3, which earlier steps keep alive.
    layer.codebook[::2] = 1e4
    layer.codebook[3] = -1e4
    layer.code_sum.copy_(layer.codebook * layer.code_count[:, None])
    before = layer.code_sum.clone()
    layer(x)
    alive = layer.code_count >= 1
    assert alive.tolist() == [False, True] * 4
    # The row of a dead code takes a token; its sums and counts go on by the rule.
    assert len(set(rows_of(layer.codebook[~alive], as_tokens(x)))) == 4
    torch.testing.assert_close(layer.codebook[alive], layer.code_sum[alive] / layer.code_count[alive, None])
    torch.testing.assert_close(layer.code_sum[~alive], 0.5 * before[~alive])


def test_a_count_of_exactly_the_threshold_is_alive():
    layer = QuantizeEMAReset(2, 1, mu=0.99)
    layer(torch.tensor([[[1.0, -1.0]]]))
    assert torch.equal(layer.code_count, torch.ones(2))
    assert sorted(layer.codebook.flatten().tolist()) == [-1, 1]
    layer(torch.tensor([[[1.5, -1.5]]]))
    torch.testing.assert_close(layer.codebook.flatten().sort().values, torch.tensor([-1.005, 1.005]))


def test_resets_draw_a_random_permutation_of_the_batch():
    layer = trained(1, nb_code=K, reset_threshold=1e9).layers[0]
    x = latents(2, 8)
    tokens = as_tokens(x)
    drawn = np.zeros((K, 16))
    for _ in range(400):
        layer(x)
        rows = rows_of(layer.codebook, tokens)
        assert len(set(rows)) == K, "without repetition"
        drawn[range(K), rows] += 1
    # Every code gets every token equally often: 25 times each, within five standard deviations.
    assert np.abs(drawn - 25).max() <= 25


@pytest.mark.parametrize("step", ["initialise", "reset"])
def test_a_small_batch_is_tiled_with_noise(step):
    tokens = 10 * torch.randn(3, C)
    layer = QuantizeEMAReset(1200, C, reset_threshold=1e9)
    if step == "initialise":
        layer.initialise(tokens)
    else:
        layer(tokens.t()[None])
    origin = nearest(layer.codebook.double().numpy(), tokens.double().numpy())
    noise = layer.codebook - tokens[torch.from_numpy(origin)]
    assert np.bincount(origin).tolist() == [400, 400, 400]
    assert noise.std().item() == pytest.approx(0.01 / math.sqrt(C), rel=0.05)
    assert abs(noise.mean().item()) < 5 * 0.005 / math.sqrt(noise.numel())
    assert (noise != 0).any(dim=1).all()
    # Shuffled, not three after three.
    assert not np.array_equal(origin, np.resize(origin[:3], 1200))


def test_the_noise_of_tiled_tokens_is_a_hundredth_of_length_one():
    torch.manual_seed(0)
    layer = QuantizeEMAReset(2000, 25)
    tokens = torch.zeros(1, 25)
    layer.initialise(tokens)
    lengths = layer.codebook.norm(dim=1)
    assert 0.0095 < float(lengths.square().mean().sqrt()) < 0.0105  # 0.002 a coordinate
    assert float(layer.codebook.mean().abs()) < 1e-4


def test_a_device_that_is_not_waited_for_learns_the_same(monkeypatch):
    def learnt() -> list[Tensor]:
        torch.manual_seed(3)
        layer = QuantizeEMAReset(30, C, mu=0.5)
        for count in (40, 40, 3, 40):
            layer(torch.randn(1, C, count))
        return [layer.codebook, layer.code_sum, layer.code_count, layer.code_resets]

    waiting = learnt()
    monkeypatch.setattr("rvq_core.ema_layer.is_waited_for", lambda _: False)
    assert 30 < int(waiting[3].sum()) < 90
    assert all(map(torch.equal, learnt(), waiting))


def test_a_layer_tells_its_sizes_and_threshold():
    layer = QuantizeEMAReset(7, 3, mu=0.75)
    assert repr(layer) == "QuantizeEMAReset(nb_code=7, code_dim=3, mu=0.75)"
    assert layer.reset_threshold == ResidualVQ(2, nb_code=7, code_dim=3).ema_layers()[0].reset_threshold == 1.0


def test_training_perplexity_and_loss_by_hand():
    quantizer = trained()
    x = latents()
    indices, _, losses = quantized_by_hand(x, quantizer.codebooks)
    _, got, loss, perplexity = quantizer(x)
    np.testing.assert_array_equal(got.reshape(-1, Q).numpy(), indices)
    np.testing.assert_allclose(loss.item(), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(quantizer.last.perplexity.numpy(), [perplexity_of(i) for i in indices.T], rtol=1e-5)
    np.testing.assert_allclose(perplexity.item(), np.mean([perplexity_of(i) for i in indices.T]), rtol=1e-5)


def test_perplexity_counts_equally_used_codes():
    quantizer = build(1, nb_code=4, code_dim=1).eval()
    quantizer.layers[0].codebook.copy_(torch.arange(4.0)[:, None])
    assert quantizer(torch.arange(4.0)[None, None])[3].item() == pytest.approx(4, rel=1e-5)
    assert quantizer(torch.ones(1, 1, 9))[3].item() == pytest.approx(1, rel=1e-5)


def test_the_published_perplexity_in_float64():
    """exp(-sum p ln(p + 1e-7)); of so many codes that 1e-7 counts, and of one token, and of none."""
    counts = np.array([np.ones(100_000), np.r_[np.arange(99_999.0), 0]])
    share = counts / counts.sum(axis=1, keepdims=True)
    wanted = np.exp(-(share * np.log(share + 1e-7)).sum(axis=1))
    np.testing.assert_allclose(batch_perplexity(torch.from_numpy(counts)).numpy(), wanted, rtol=1e-12)
    assert wanted[0] < 99_100
    assert batch_perplexity(torch.tensor([0.0, 1.0, 0.0])).item() == pytest.approx(1, rel=1e-6)
    assert batch_perplexity(torch.zeros(3)).item() == 1


# Temperature


def test_temperature_none_or_zero_means_the_nearest_code_in_training_too():
    for temperature in (None, 0, 0.0):
        quantizer = trained()
        x = latents()
        wanted, _, _ = quantized_by_hand(x, quantizer.codebooks)
        indices = quantizer(x, sample_codebook_temp=temperature)[1]
        np.testing.assert_array_equal(indices.reshape(-1, Q).numpy(), wanted)


def test_temperature_samples_in_training_by_the_seed_of_torch():
    first, x, drawn = trained(), latents(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(copy.deepcopy(first)(x, sample_codebook_temp=2.0)[1])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], copy.deepcopy(first)(x)[1])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_gives_the_softmax_of_squared_distances(temperature):
    layer = QuantizeEMAReset(3, 2)
    layer.codebook.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]]))
    token = np.array([0.3, 0.4])
    weight = np.exp(-((layer.codebook.numpy() - token) ** 2).sum(1) / temperature)
    idx = layer.quantize(torch.tensor(token, dtype=torch.float32).expand(20_000, 2), temperature)
    drawn = np.bincount(idx.numpy(), minlength=3) / 20_000
    np.testing.assert_allclose(drawn, weight / weight.sum(), atol=0.014)


def test_autocast_does_not_round_what_codes_are_drawn_by():
    layer = trained(1).layers[0]
    tokens = latents().transpose(1, 2).reshape(-1, C)
    drawn = []
    for rounding in (False, True):
        torch.manual_seed(8)
        with torch.autocast("cpu", torch.bfloat16, enabled=rounding):
            drawn.append(torch.cat([layer.quantize(tokens, 0.5) for _ in range(200)]))
    assert torch.equal(*drawn)


def test_temperature_is_ignored_in_eval():
    quantizer = trained().eval()
    x = latents()
    state = torch.get_rng_state()
    assert torch.equal(quantizer(x, sample_codebook_temp=100.0)[1], quantizer(x)[1])
    assert torch.equal(torch.get_rng_state(), state)
