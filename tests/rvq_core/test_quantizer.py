"""The quantizer: what a forward gives, with which layers, and what it is made of."""

import math
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

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
    perplexity_of,
    quantized_by_hand,
    snapshot,
    trained,
)

from rvq_core.ema_layer import QuantizeEMAReset
from rvq_core.quantizer import ResidualVQ

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


def test_ties_go_to_the_lowest_index():
    quantizer = build(1).eval()
    quantizer.layers[0].codebook.copy_(torch.eye(C)[[3, 1, 1, 0, 3, 2, 2, 0]])
    wanted = [3, 1, 5, 0]  # where each row of the identity stands first
    assert quantizer(torch.eye(C)[None].transpose(1, 2))[1].flatten().tolist() == wanted
    assert build(2).eval()(latents())[1].unique().tolist() == [0]


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


# Construction


FORKED = """
import os, torch
from rvq_core import ResidualVQ
torch.set_num_threads(2)
x = torch.randn(8, 16, 64)
made = ResidualVQ(6, nb_code=300, code_dim=16, quantize_dropout_prob=0.0)
made(x)
made.eval()(x)
torch.rand(1_000_000).log().exp()  # by threads that a forked process does not have
child = os.fork()
if child == 0:
    made(x[:, :, :10])
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_was_forked_quantizes_too():
    """As the workers of a data loader are."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.communicate(timeout=60)[0] == "7\n"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # and what it forked


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
