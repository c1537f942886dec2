"""The state of a quantizer: one codebook for all layers, saving, loading, moving."""

import numpy as np
import pytest
import torch
from quantizers import C, K, Q, assert_same_state, build, latents, perplexity_of, quantized_by_hand, snapshot, trained

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
