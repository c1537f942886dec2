import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from rvq_core.ema_layer import QuantizeEMAReset
from rvq_core.quantizer import ResidualVQ

Q, K, C = 3, 8, 4


def build(num_quantizers: int = Q, **options: object) -> ResidualVQ:
    """A small quantizer in training mode, without random dropout unless asked for."""
    settings = {"nb_code": K, "code_dim": C, "quantize_dropout_prob": 0.0} | options
    return ResidualVQ(num_quantizers, **settings)


def trained(num_quantizers: int = Q, steps: int = 3, **options: object) -> ResidualVQ:
    """The same after some steps, still in training mode."""
    quantizer = build(num_quantizers, **options)
    for _ in range(steps):
        quantizer(latents())
    return quantizer


def latents(batch: int = 5, frames: int = 7, dim: int = C) -> Tensor:
    return torch.randn(batch, dim, frames)


def as_tokens(x: Tensor) -> np.ndarray:
    """[B, C, T] -> float64 [B T, C]."""
    return np.stack([x.detach().double().numpy()[b, :, t] for b in range(x.shape[0]) for t in range(x.shape[2])])


def nearest(tokens: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    return ((tokens[:, None] - codebook[None]) ** 2).sum(-1).argmin(1)


def perplexity_of(indices: np.ndarray, codes: int = K) -> float:
    share = np.bincount(indices, minlength=codes) / len(indices)
    return math.exp(-(share * np.log(share + 1e-7)).sum())


def quantized_by_hand(x: Tensor, codebooks: Tensor) -> tuple[np.ndarray, list[np.ndarray], list[float]]:
    """Indices [N, q] of tokens, the residuals that entered each layer and, last, what is left; loss of each layer."""
    residuals, indices, losses = [as_tokens(x)], [], []
    for codebook in codebooks.double().numpy():
        indices.append(nearest(residuals[-1], codebook))
        residuals.append(residuals[-1] - codebook[indices[-1]])
        losses.append(2 * float((residuals[-1] ** 2).mean()))
    return np.stack(indices, axis=1), residuals, losses


def snapshot(quantizer: ResidualVQ) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in quantizer.state_dict().items()}


def assert_same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


# The worked examples of the published description


def published_example() -> ResidualVQ:
    args = SimpleNamespace(mu=0.99)
    return ResidualVQ(num_quantizers=6, nb_code=1024, code_dim=128, quantize_dropout_prob=0.5, args=args)


def test_example_a_forward_as_constructed():
    residual_vq = published_example()
    quantized, indices, commit_loss, perplexity = residual_vq(torch.randn(2, 128, 64))
    assert residual_vq.training
    assert quantized.shape == (2, 128, 64)
    assert indices.shape == (2, 64, 6)
    assert isinstance(commit_loss.item(), float)
    assert isinstance(perplexity.item(), float)


def test_example_b_decoding_indices():
    residual_vq = published_example()
    x = torch.randn(2, 128, 64)
    _, indices, _, _ = residual_vq(x)
    assert residual_vq.get_codebook_entry(indices).shape == (2, 128, 64)
    residual_vq.eval()
    quantized, indices, _, _ = residual_vq(x)
    assert torch.equal(residual_vq.get_codebook_entry(indices), quantized)


def test_example_c_forced_dropout():
    residual_vq = published_example()
    _, indices, _, _ = residual_vq(torch.randn(2, 128, 64), force_dropout_index=3)
    assert indices[..., 3:].unique() == torch.tensor([-1])
    assert (indices[..., :3] >= 0).all()


def test_example_d_utilisation_per_layer():
    residual_vq = published_example()

    def utilisation() -> list[float]:
        counts = [residual_vq.layers[i].code_count for i in range(residual_vq.num_quantizers)]
        return [(count > 0).float().mean().item() for count in counts]

    assert utilisation() == [0.0] * 6
    for _ in range(2):
        residual_vq(torch.randn(2, 128, 64), force_dropout_index=6)
    assert all(0 < share <= 1 for share in utilisation())


# What a forward gives


def test_eval_agrees_with_a_computation_by_hand():
    quantizer = trained().eval()
    x = latents()
    quantized, indices, loss, perplexity = quantizer(x)
    wanted, residuals, losses = quantized_by_hand(x, quantizer.codebooks)
    assert indices.dtype == torch.int64
    np.testing.assert_array_equal(indices.reshape(-1, Q).numpy(), wanted)
    np.testing.assert_allclose(as_tokens(quantized), residuals[0] - residuals[-1], atol=1e-6)
    np.testing.assert_allclose(loss.item(), np.mean(losses), rtol=1e-5)
    perplexities = [perplexity_of(wanted[:, q]) for q in range(Q)]
    np.testing.assert_allclose(perplexity.item(), np.mean(perplexities), rtol=1e-5)
    np.testing.assert_allclose(quantizer.last.perplexity.numpy(), perplexities, rtol=1e-5)
    np.testing.assert_allclose(quantizer.last.commit_loss.numpy(), losses, rtol=1e-5)


@pytest.mark.parametrize("kept", range(Q + 1))
def test_eval_output_is_the_sum_of_codes_bit_for_bit(kept):
    # Far from 0, x + (sum - x) would lose bits of the sum.
    quantizer = trained().eval()
    quantized, indices, _, _ = quantizer(latents() + 1000, force_dropout_index=kept)
    assert torch.equal(quantized, quantizer.get_codebook_entry(indices))
    by_hand = torch.zeros(5, 7, C)
    for q in range(kept):
        by_hand = by_hand + quantizer.layers[q].codebook[indices[..., q]]
    assert torch.equal(quantized, by_hand.transpose(1, 2))


@pytest.mark.parametrize("offset", [0, 1000])
def test_training_output_is_the_sum_of_codes_before_the_update(offset):
    quantizer = trained(reset_threshold=0.0)
    before = quantizer.codebooks
    quantized, indices, _, _, all_codes = quantizer((latents() + offset).requires_grad_(), return_all_codes=True)
    for q in range(Q):
        assert torch.equal(all_codes[q], before[q][indices[..., q]])
    assert torch.equal(quantized, (all_codes[0] + all_codes[1] + all_codes[2]).transpose(1, 2))
    assert not torch.equal(quantizer.codebooks, before)


def test_training_gradient_passes_straight_through():
    quantizer = trained()
    x = latents().requires_grad_()
    upstream = torch.randn_like(x)
    quantizer(x)[0].backward(upstream)
    assert torch.equal(x.grad, upstream)


def test_eval_output_has_no_gradient_but_the_loss_has():
    x = latents().requires_grad_()
    quantized, _, loss, _ = trained().eval()(x)
    assert not quantized.requires_grad
    assert loss.requires_grad


def test_commit_loss_pulls_x_to_its_codes():
    # d/dx of mse(x, sg(codes)), averaged over the layers; the other half of the loss has no gradient.
    quantizer = trained()
    codebooks = quantizer.codebooks
    x = latents().requires_grad_()
    quantizer(x)[2].backward()
    _, residuals, _ = quantized_by_hand(x, codebooks)
    expected = sum(2 * residual / residual.size for residual in residuals[1:]) / Q
    np.testing.assert_allclose(as_tokens(x.grad), expected, atol=1e-7)


@pytest.mark.parametrize("shape", [(5, C, 7), (1, C, 7), (5, C, 1), (1, C, 1)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_x_is_never_written_to(shape, training, channels_last):
    # With one frame, or channels last, tokens share the memory of x.
    quantizer = trained().train(training)
    x = torch.randn(shape)
    if channels_last:
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    before = x.clone()
    quantized, indices, _, _ = quantizer(x)
    quantizer(x, sample_codebook_temp=0.5)
    quantizer.layers[0](x)
    assert torch.equal(x, before)
    assert quantized.shape == shape
    assert indices.shape == (shape[0], shape[2], Q)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, C, 7), (2, C, 0)])
def test_nothing_in_nothing_out(shape, training):
    quantizer = trained().train(training)
    before = snapshot(quantizer)
    quantized, indices, loss, perplexity, codes = quantizer(torch.zeros(shape), return_all_codes=True)
    assert quantized.shape == shape
    assert indices.shape == (shape[0], shape[2], Q)
    assert codes.shape == (Q, shape[0], shape[2], C)
    assert (loss.item(), perplexity.item()) == (0, 1)
    assert_same_state(snapshot(quantizer), before)


def test_an_empty_first_batch_does_not_initialise():
    quantizer = build()
    quantizer(torch.zeros(2, C, 0))
    assert not any(layer.init for layer in quantizer.layers)
    quantizer(latents())
    assert all(layer.init for layer in quantizer.layers)


@pytest.mark.parametrize("shape", [(5, C + 1, 7), (5, C), (7, 5, C, 1)])
def test_latents_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[B, 4, T\]"):
        build()(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"must be \[B, 4, T\]"):
        build().layers[0](torch.zeros(shape))


# Quantize dropout


@pytest.mark.parametrize("kept", range(Q + 1))
@pytest.mark.parametrize("training", [True, False])
def test_forced_dropout_keeps_exactly_the_first_layers(kept, training):
    quantizer = trained(quantize_dropout_prob=1.0).train(training)
    before = snapshot(quantizer)
    quantized, indices, loss, perplexity = quantizer(latents(), force_dropout_index=kept)
    assert (indices[..., :kept] >= 0).all()
    assert (indices[..., kept:] == -1).all()
    assert quantizer.last.perplexity.shape == quantizer.last.commit_loss.shape == (kept,)
    if kept == 0:
        assert torch.equal(quantized, torch.zeros(5, C, 7))
        assert (loss.item(), perplexity.item()) == (0, 1)
    else:
        assert loss.item() == pytest.approx(quantizer.last.commit_loss.mean().item())
        assert perplexity.item() == pytest.approx(quantizer.last.perplexity.mean().item())
    # Layers that are left out do not learn.
    changed = {key.split(".")[1] for key, value in snapshot(quantizer).items() if not torch.equal(value, before[key])}
    assert changed == ({str(q) for q in range(kept)} if training else set())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("index", [Q + 1, 100, -2])
def test_forcing_more_layers_than_there_are_is_refused(index, training):
    with pytest.raises(ValueError, match=f"0..3, got {index}"):
        trained().train(training)(latents(), force_dropout_index=index)


def kept_layers(quantizer: ResidualVQ, draws: int) -> list[int]:
    x, kept = torch.randn(2, 1, 2), []
    for _ in range(draws):
        indices = quantizer(x)[1]
        used = (indices >= 0).sum(-1)
        assert (used == used[0, 0]).all(), "one draw holds for the whole batch"
        assert ((indices >= 0) == (torch.arange(indices.shape[-1]) < used[0, 0])).all(), "the first layers are kept"
        kept.append(int(used[0, 0]))
    return kept


def test_random_dropout_keeps_a_uniform_number_of_layers_above_the_cutoff():
    options = {"nb_code": 1, "code_dim": 1, "quantize_dropout_prob": 1.0}
    for cutoff, allowed in [(0, [1, 2, 3, 4]), (2, [3, 4]), (3, [4])]:
        kept = kept_layers(build(4, quantize_dropout_cutoff_index=cutoff, **options), 600)
        counts = [kept.count(n) for n in allowed]
        assert sum(counts) == 600
        # Five standard deviations.
        assert np.abs(np.array(counts) - 600 / len(allowed)).max() <= 5 * math.sqrt(600 / len(allowed))


def test_random_dropout_happens_with_its_probability_and_only_in_training():
    quantizer = build(2, nb_code=1, code_dim=1, quantize_dropout_prob=0.4)
    # Dropped with 0.4, and then one layer instead of two in half of the cases.
    assert abs(kept_layers(quantizer, 600).count(1) / 600 - 0.2) < 0.08
    assert kept_layers(quantizer.eval(), 50) == [2] * 50
    assert kept_layers(build(2, nb_code=1, code_dim=1, quantize_dropout_prob=0.0), 50) == [2] * 50


def test_random_dropout_is_drawn_once_a_forward():
    # The number of draws must not depend on the number of layers: 2 and 9 layers leave the generator alike.
    states = []
    for layers in (2, 9):
        quantizer = build(layers, nb_code=1, code_dim=1, quantize_dropout_prob=1.0).eval()
        torch.manual_seed(3)
        quantizer.training = True  # the layers stay in eval: they draw for their resets
        quantizer(torch.zeros(1, 1, 1), force_dropout_index=-1)
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1])


# Indices back to codes


@pytest.mark.parametrize("kept", [0, 1, Q])
def test_all_codes_are_layer_batch_frame_channel(kept):
    quantizer = trained().eval()
    _, indices, _, _, codes = quantizer(latents(2, 5), return_all_codes=True, force_dropout_index=kept)
    assert codes.shape == (Q, 2, 5, C)
    for q in range(Q):
        for b in range(2):
            for t in range(5):
                code = quantizer.layers[q].codebook[indices[b, t, q]] if q < kept else torch.zeros(C)
                assert torch.equal(codes[q, b, t], code)


def test_codes_from_the_first_layers_indices_alone():
    quantizer = trained().eval()
    indices = quantizer(latents())[1]
    for given in range(Q + 1):
        padded = indices.clone()
        padded[..., given:] = -1
        codes = quantizer.get_codes_from_indices(indices[..., :given])
        assert codes.shape == (Q, 5, 7, C)
        assert torch.equal(codes, quantizer.get_codes_from_indices(padded))
        entry = quantizer.get_codebook_entry(indices[..., :given])
        assert torch.equal(entry, quantizer.get_codebook_entry(padded))
        torch.testing.assert_close(entry, codes.sum(0).transpose(1, 2))


def test_minus_one_is_a_zero_code_and_not_the_last_one():
    quantizer = trained().eval()
    indices = torch.tensor([[[-1, -1, -1], [2, -1, 5]]])
    codes = quantizer.get_codes_from_indices(indices)
    assert torch.equal(codes[:, 0, 0], torch.zeros(Q, C))
    assert torch.equal(codes[1, 0, 1], torch.zeros(C))
    wanted = quantizer.layers[0].codebook[2] + quantizer.layers[2].codebook[5]
    assert torch.equal(quantizer.get_codebook_entry(indices)[0], torch.stack([torch.zeros(C), wanted], dim=1))
    assert torch.equal(quantizer.layers[0].dequantize(torch.tensor([-1])), torch.zeros(1, C))


@pytest.mark.parametrize("shape", [(5, 7, Q), (5, 7, 1), (1, 1, Q)])
def test_indices_are_left_as_they_are(shape):
    indices = torch.full(shape, -1)
    codes = trained().eval().get_codes_from_indices(indices)
    assert (codes == 0).all()
    assert (trained().eval().get_codebook_entry(indices) == 0).all()
    assert (indices == -1).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.uint16])
def test_indices_of_any_integer_type_are_looked_up(dtype):
    quantizer = trained().eval()
    indices = quantizer(latents())[1]
    assert torch.equal(quantizer.get_codebook_entry(indices.to(dtype)), quantizer.get_codebook_entry(indices))
    assert torch.equal(quantizer.get_codes_from_indices(indices.to(dtype)), quantizer.get_codes_from_indices(indices))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (torch.zeros(2, 5, Q + 1, dtype=torch.long), "q <= 3"),
        (torch.zeros(2, 5, dtype=torch.long), "B, T, q"),
        (torch.zeros(2, 5, Q), "integers"),
        (torch.full((2, 5, Q), K), r"-1\.\.7, got 8\.\.8"),
        (torch.full((2, 5, Q), -2), r"-1\.\.7, got -2"),
    ],
)
def test_indices_that_stand_for_nothing_are_refused(indices, message):
    quantizer = trained()
    for decode in (quantizer.get_codebook_entry, quantizer.get_codes_from_indices):
        with pytest.raises(ValueError, match=message):
            decode(indices)


def test_codebooks_are_stacked_in_order():
    quantizer = trained()
    assert quantizer.num_quantizers == Q
    assert quantizer.codebooks.shape == (Q, K, C)
    for q, layer in enumerate(quantizer.layers):
        assert torch.equal(quantizer.codebooks[q], layer.codebook)
        assert layer.nb_code == K


def test_ties_go_to_the_lowest_index():
    quantizer = build(1).eval()
    quantizer.layers[0].codebook.copy_(torch.eye(C)[[3, 1, 1, 0, 3, 2, 2, 0]])
    wanted = [3, 1, 5, 0]  # where each row of the identity stands first
    assert quantizer(torch.eye(C)[None].transpose(1, 2))[1].flatten().tolist() == wanted
    assert build(2).eval()(latents())[1].unique().tolist() == [0]


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


def test_temperature_is_ignored_in_eval():
    quantizer = trained().eval()
    x = latents()
    state = torch.get_rng_state()
    assert torch.equal(quantizer(x, sample_codebook_temp=100.0)[1], quantizer(x)[1])
    assert torch.equal(torch.get_rng_state(), state)


# One codebook for all layers


def test_a_shared_codebook_is_one_module():
    quantizer = build(shared_codebook=True)
    assert len(quantizer.layers) == Q
    assert len({id(layer) for layer in quantizer.layers}) == 1
    assert len({id(layer) for layer in build().layers}) == Q
    assert quantizer.codebooks.shape == (Q, K, C)


@pytest.mark.parametrize("kept", [1, 2, Q])
def test_a_shared_codebook_takes_one_step_from_the_tokens_of_all_layers(kept):
    mu = 0.9
    quantizer = trained(shared_codebook=True, mu=mu, reset_threshold=0.0)
    layer = quantizer.layers[0]
    sums, counts = layer.code_sum.double().numpy().copy(), layer.code_count.double().numpy().copy()
    x = latents()
    indices, residuals, losses = quantized_by_hand(x, quantizer.codebooks[:kept])
    _, got, loss, _ = quantizer(x, force_dropout_index=kept)
    np.testing.assert_array_equal(got[..., :kept].reshape(-1, kept).numpy(), indices)
    np.testing.assert_allclose(loss.item(), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(quantizer.last.perplexity.numpy(), [perplexity_of(i) for i in indices.T], rtol=1e-5)
    pooled = np.zeros((K, C))
    np.add.at(pooled, indices.T.reshape(-1), np.concatenate(residuals[:kept]))
    counts = mu * counts + (1 - mu) * np.bincount(indices.reshape(-1), minlength=K)
    sums = mu * sums + (1 - mu) * pooled
    np.testing.assert_allclose(layer.code_count.numpy(), counts, rtol=1e-5)
    np.testing.assert_allclose(layer.code_sum.numpy(), sums, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.codebook.numpy(), sums / counts[:, None], rtol=1e-4, atol=1e-5)


def test_a_shared_codebook_survives_saving():
    quantizer = trained(shared_codebook=True)
    other = build(shared_codebook=True)
    other.load_state_dict(quantizer.state_dict())
    assert len({id(layer) for layer in other.layers}) == 1
    assert_same_state(other.state_dict(), quantizer.state_dict())


# Padding


def padded(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same latents with padding of wild values; where they are; and what is present as one clip."""
    frames = x.shape[2]
    mask = torch.zeros(x.shape[0], frames + 3, dtype=torch.bool)
    mask[:, :frames] = True
    mask[1, 2:] = False
    full = torch.cat([x, torch.full((x.shape[0], C, 3), 1e3)], dim=2)
    full = torch.where(mask[:, None], full, -1e3)
    return full, mask, full.transpose(1, 2)[mask].t()[None]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_padding_counts_in_nothing(training, shared):
    quantizer = trained(shared_codebook=shared).train(training)
    twin = copy.deepcopy(quantizer)
    full, mask, present = padded(latents())
    torch.manual_seed(1)
    quantized, indices, loss, perplexity, codes = quantizer(full, mask=mask, return_all_codes=True)
    torch.manual_seed(1)
    expected = twin(present)
    assert torch.equal(indices[mask], expected[1][0])
    assert (indices[~mask] == -1).all()
    assert torch.equal(quantized.transpose(1, 2)[mask], expected[0][0].t())
    assert (quantized.transpose(1, 2)[~mask] == 0).all()
    assert (codes[:, ~mask] == 0).all()
    assert torch.equal(loss, expected[2])
    assert torch.equal(perplexity, expected[3])
    assert torch.equal(quantizer.last.perplexity, twin.last.perplexity)
    assert_same_state(quantizer.state_dict(), twin.state_dict())


def test_padding_gets_no_gradient():
    full, mask, _ = padded(latents())
    full.requires_grad_()
    quantized, _, loss, _ = trained()(full, mask=mask)
    (quantized.sum() + 100 * loss).backward()
    assert (full.grad.transpose(1, 2)[~mask] == 0).all()
    assert (full.grad.transpose(1, 2)[mask] != 0).all()


def test_padding_alone_leaves_the_codebooks_as_they_are():
    quantizer = trained()
    before = snapshot(quantizer)
    quantized, indices, loss, perplexity = quantizer(latents(), mask=torch.zeros(5, 7, dtype=torch.bool))
    assert (quantized == 0).all()
    assert (indices == -1).all()
    assert (loss.item(), perplexity.item()) == (0, 1)
    assert_same_state(snapshot(quantizer), before)


@pytest.mark.parametrize(
    "mask", [torch.ones(5, 7), torch.ones(7, 5, dtype=torch.bool), torch.ones(5, dtype=torch.bool)]
)
def test_a_mask_of_another_kind_is_refused(mask):
    with pytest.raises(ValueError, match=r"mask must be bool \[5, 7\]"):
        trained()(latents(), mask=mask)


# Precision


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_latents_of_another_precision_come_back_in_it(dtype, training):
    quantizer = trained().train(training)
    x = latents().to(dtype).requires_grad_()
    codebooks = quantizer.codebooks
    quantized, indices, loss, perplexity = quantizer(x)
    assert quantized.dtype == dtype
    assert (loss.dtype, perplexity.dtype) == (torch.float32, torch.float32)
    np.testing.assert_array_equal(indices.reshape(-1, Q).numpy(), quantized_by_hand(x, codebooks)[0])
    assert {value.dtype for key, value in quantizer.state_dict().items() if "init" not in key} == {torch.float32}
    (quantized.float().sum() + loss).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_autocast_changes_nothing(temperature):
    x = torch.randn(4, 32, 400)
    quantizer = build(nb_code=64, code_dim=32)
    quantizer(x)
    twin = copy.deepcopy(quantizer)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        results = quantizer(x, sample_codebook_temp=temperature)
    torch.manual_seed(1)
    for got, expected in zip(results, twin(x, sample_codebook_temp=temperature), strict=True):
        assert torch.equal(got, expected)
    assert_same_state(quantizer.state_dict(), twin.state_dict())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_of_another_precision_finds_its_nearest_codes(dtype):
    quantizer = build(1, nb_code=64, code_dim=16)
    quantizer(10 * torch.randn(4, 16, 64))
    quantizer.to(dtype).eval()
    x = (10 * torch.randn(20, 16, 64)).to(dtype)
    quantized, indices, _, _ = quantizer(x)
    assert quantized.dtype == dtype
    np.testing.assert_array_equal(indices.flatten().numpy(), quantized_by_hand(x, quantizer.codebooks)[0][:, 0])
    assert torch.equal(quantized, quantizer.get_codebook_entry(indices))


# State: saving, loading, moving


def test_all_state_is_in_buffers():
    quantizer = build(2)
    names = {f"layers.{q}.{name}" for q in range(2) for name in ("codebook", "code_sum", "code_count", "init")}
    assert set(quantizer.state_dict()) == names
    assert {name for name, _ in quantizer.named_buffers()} == names
    assert list(quantizer.parameters()) == []
    assert {value.device.type for value in quantizer.to("meta").state_dict().values()} == {"meta"}


def test_a_fresh_layer_has_counted_nothing():
    for layer in build().layers:
        assert torch.equal(layer.code_count, torch.zeros(K))
        assert not bool(layer.init)
        assert layer.ema_known


def test_resuming_goes_on_as_if_never_stopped(tmp_path):
    quantizer = trained(quantize_dropout_prob=0.5)
    torch.save(quantizer.state_dict(), tmp_path / "state.pt")
    resumed = build(quantize_dropout_prob=0.5)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_same_state(resumed.state_dict(), quantizer.state_dict())
    assert all(layer.ema_known for layer in resumed.layers)
    batches = [latents() for _ in range(4)]
    for side in (quantizer, resumed):
        torch.manual_seed(9)
        for batch in batches:
            side(batch)
    assert_same_state(resumed.state_dict(), quantizer.state_dict())


def test_a_saved_fresh_quantizer_is_still_fresh():
    quantizer = build()
    quantizer.load_state_dict(build().state_dict())
    assert not any(layer.init for layer in quantizer.layers)
    assert all(layer.ema_known for layer in quantizer.layers)


@pytest.mark.parametrize("left_out", [("code_sum", "code_count", "init"), ("init",), ("code_sum", "code_count")])
def test_a_file_of_codebooks_alone_is_loaded_as_initialised(left_out):
    codebooks = {f"layers.{q}.codebook": torch.randn(K, C) for q in range(Q)}
    state = {key: value for key, value in trained().state_dict().items() if not key.endswith(left_out)} | codebooks
    keys = set(state)
    quantizer = trained()
    quantizer.load_state_dict(state)
    for q, layer in enumerate(quantizer.layers):
        assert torch.equal(layer.codebook, codebooks[f"layers.{q}.codebook"])
        assert torch.equal(layer.code_sum, layer.codebook)
        assert torch.equal(layer.code_count, torch.ones(K))
        assert bool(layer.init)
        assert not layer.ema_known
    assert set(state) == keys, "the caller's dictionary stays as it was"
    # Training goes on from these codes: with a slow average they barely move.
    quantizer.layers[0].mu, quantizer.layers[0].reset_threshold = 0.999, 0.0
    quantizer(latents(), force_dropout_index=1)
    assert (quantizer.layers[0].codebook - codebooks["layers.0.codebook"]).abs().max() < 0.1
    assert [layer.ema_known for layer in quantizer.layers] == [True, False, False]


def test_loading_nothing_changes_nothing():
    quantizer = trained()
    before = snapshot(quantizer)
    quantizer.load_state_dict({"encoder.weight": torch.zeros(1)}, strict=False)
    assert_same_state(snapshot(quantizer), before)
    assert all(layer.ema_known for layer in quantizer.layers)


def test_a_missing_codebook_is_told():
    state = trained().state_dict()
    del state["layers.1.codebook"]
    with pytest.raises(RuntimeError, match=r"layers\.1\.codebook"):
        build().load_state_dict(state)


# Construction


def test_mu_comes_from_args_or_by_name():
    args = SimpleNamespace(mu=0.5, lr=1)
    assert [layer.mu for layer in build(args=args).layers] == [0.5] * Q
    assert [layer.mu for layer in build(mu=0.9).layers] == [0.9] * Q
    assert [layer.mu for layer in build().layers] == [0.99] * Q
    assert QuantizeEMAReset(K, C, args).mu == 0.5
    assert QuantizeEMAReset(K, C).mu == 0.99


def test_the_published_order_of_arguments():
    quantizer = ResidualVQ(4, True, 0.25, 2, nb_code=K, code_dim=C)
    assert (quantizer.num_quantizers, quantizer.shared_codebook) == (4, True)
    assert (quantizer.quantize_dropout_prob, quantizer.quantize_dropout_cutoff_index) == (0.25, 2)
    default = ResidualVQ(4, nb_code=K, code_dim=C)
    assert (default.shared_codebook, default.quantize_dropout_prob) == (False, 0.5)
    assert default.quantize_dropout_cutoff_index == 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"num_quantizers": 0}, "num_quantizers"),
        ({"nb_code": 0}, "nb_code"),
        ({"code_dim": 0}, "code_dim"),
        ({"quantize_dropout_prob": 1.5}, "quantize_dropout_prob"),
        ({"quantize_dropout_prob": -0.1}, "quantize_dropout_prob"),
        ({"quantize_dropout_cutoff_index": Q}, "quantize_dropout_cutoff_index"),
        ({"quantize_dropout_cutoff_index": -1}, "quantize_dropout_cutoff_index"),
        ({"mu": 1.0}, "mu"),
        ({"mu": -0.1}, "mu"),
        ({"mu": math.nan}, "mu"),
        ({"args": SimpleNamespace(mu=2)}, "mu"),
    ],
)
def test_values_out_of_range_are_refused_by_name(options, field):
    with pytest.raises(ValueError, match=field):
        build(**options)
