from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig, count_parameters
from rvq_core.errors import SettingsError

FIXTURES = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures"

TINY = {"input_dim": 10, "width": 8, "code_dim": 4, "nb_code": 16, "num_quantizers": 2}


def tiny(**settings: object) -> RVQVAE:
    return RVQVAE(RVQVAEConfig(**(TINY | settings)))


# Shapes


def test_the_published_defaults():
    model = RVQVAE(RVQVAEConfig()).eval()
    with torch.no_grad():
        latents = model.encode(torch.randn(2, 128, 330))
        assert latents.shape == (2, 128, 64)
        assert model.decode(latents).shape == (2, 128, 330)
    assert model.quantizer.codebooks.shape == (6, 1024, 128)
    assert model.config.stride == 2


@pytest.mark.parametrize(
    ("settings", "frames", "positions"),
    [
        ({}, 64, 32),
        ({"down_t": 2}, 64, 16),
        ({"down_t": 0}, 64, 64),
        ({"down_t": 3, "depth": 1}, 64, 8),
        ({"depth": 1, "dilation_growth_rate": 1}, 2, 1),
        ({"norm": "LN"}, 16, 8),
        ({"norm": "BN", "activation": "silu"}, 16, 8),
        ({"norm": "GN", "width": 64, "activation": "gelu"}, 16, 8),
        ({"shared_codebook": True}, 16, 8),
    ],
)
def test_shapes(settings, frames, positions):
    model = tiny(**settings)
    x = torch.randn(3, frames, 10)
    assert model.encode(x).shape == (3, 4, positions)
    recon, loss, perplexity = model(x)
    assert recon.shape == x.shape
    assert loss.shape == perplexity.shape == ()


@pytest.mark.parametrize(("frames", "down_t", "kept"), [(63, 1, 62), (65, 1, 64), (67, 2, 64)])
def test_frames_that_the_stride_does_not_divide_are_cut(frames, down_t, kept):
    assert tiny(down_t=down_t)(torch.randn(1, frames, 10))[0].shape == (1, kept, 10)


def test_the_decoder_doubles_whatever_the_stride():
    model = tiny(stride_t=4, down_t=2)
    latents = model.encode(torch.randn(1, 64, 10))
    assert model.config.stride == 16
    assert latents.shape == (1, 4, 4)
    assert model.decode(latents).shape == (1, 16, 10)


@pytest.mark.parametrize("shape", [(2, 16, 11), (2, 10, 16), (16, 10)])
def test_motion_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"must be \[B, T, 10\]"):
        tiny().encode(torch.zeros(shape))


# Names and sizes of the public checkpoints


def published_keys(down_t: int, depth: int, layers: int) -> set[str]:
    """What formats of the field call their convolutions, and the codebooks of MoMask."""

    def blocks(prefix: str) -> list[str]:
        return [f"{prefix}.model.{j}.conv{c}" for j in range(depth) for c in (1, 2)]

    convolutions = ["encoder.model.0", f"encoder.model.{2 + down_t}", "decoder.model.0"]
    convolutions += [f"decoder.model.{2 + down_t}", f"decoder.model.{4 + down_t}"]
    for i in range(2, 2 + down_t):
        convolutions += [f"encoder.model.{i}.0", *blocks(f"encoder.model.{i}.1")]
        convolutions += [*blocks(f"decoder.model.{i}.0"), f"decoder.model.{i}.2"]
    weights = {f"{name}.{part}" for name in convolutions for part in ("weight", "bias")}
    return weights | {f"quantizer.layers.{q}.codebook" for q in range(layers)}


@pytest.mark.parametrize(("down_t", "depth", "layers"), [(1, 3, 6), (2, 3, 4), (3, 1, 1), (0, 2, 2)])
def test_keys_are_the_published_ones(down_t, depth, layers):
    model = tiny(down_t=down_t, depth=depth, num_quantizers=layers)
    ema = {f"quantizer.layers.{q}.{name}" for q in range(layers) for name in ("code_sum", "code_count", "init")}
    assert set(model.state_dict()) - ema == published_keys(down_t, depth, layers)


def test_weight_shapes():
    shapes = {key: tuple(value.shape) for key, value in tiny(stride_t=3).state_dict().items()}
    assert shapes["encoder.model.0.weight"] == (8, 10, 3)
    assert shapes["encoder.model.2.0.weight"] == (8, 8, 6)
    assert shapes["encoder.model.2.1.model.0.conv1.weight"] == (8, 8, 3)
    assert shapes["encoder.model.2.1.model.0.conv2.weight"] == (8, 8, 1)
    assert shapes["encoder.model.3.weight"] == (4, 8, 3)
    assert shapes["decoder.model.0.weight"] == (8, 4, 3)
    assert shapes["decoder.model.5.weight"] == (10, 8, 3)


def test_the_widest_dilation_comes_first_on_both_sides():
    model = tiny(down_t=2, depth=3)
    for stack in (model.encoder.model[2][1], model.encoder.model[3][1], model.decoder.model[2][0]):
        assert [block.conv1.dilation for block in stack.model] == [(9,), (3,), (1,)]
    stack = tiny(depth=4, dilation_growth_rate=2).decoder.model[2][0]
    assert [block.conv1.dilation for block in stack.model] == [(8,), (4,), (2,), (1,)]


@pytest.mark.parametrize(("down_t", "depth", "norm"), [(1, 3, None), (2, 2, None), (1, 2, "LN"), (1, 2, "BN")])
def test_number_of_parameters(down_t, depth, norm):
    D, W, C, stride = 10, 8, 4, 2
    block = (3 * W * W + W) + (W * W + W) + (0 if norm is None else 4 * W)
    encoder = (3 * D * W + W) + down_t * ((2 * stride * W * W + W) + depth * block) + (3 * W * C + C)
    decoder = (3 * C * W + W) + down_t * (depth * block + 3 * W * W + W) + (3 * W * W + W) + (3 * W * D + D)
    assert count_parameters(tiny(down_t=down_t, depth=depth, norm=norm)) == encoder + decoder


# Values


def by_hand(state: dict[str, Tensor], x: Tensor, config: RVQVAEConfig) -> tuple[Tensor, Tensor]:
    """Encoder and decoder once more, from the state dict alone: latents and what the decoder makes of them."""
    act = {"relu": torch.relu, "silu": F.silu, "gelu": F.gelu}[config.activation]

    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 1, dilation: int = 1) -> Tensor:
        return F.conv1d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding, dilation)

    def norm(x: Tensor, name: str) -> Tensor:
        if config.norm is None:
            return x
        if config.norm == "BN":
            mean, variance = (state[f"{name}.running_{part}"][:, None] for part in ("mean", "var"))
            eps = 1e-6
        elif config.norm == "LN":
            mean, variance, eps = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True), 1e-5
        else:
            groups = x.view(x.shape[0], 32, -1)
            mean, variance = groups.mean(2), groups.var(2, correction=0)
            mean, variance = (v.repeat_interleave(x.shape[1] // 32, 1)[..., None] for v in (mean, variance))
            eps = 1e-6
        scaled = (x - mean) / (variance + eps).sqrt()
        return scaled * state[f"{name}.weight"][:, None] + state[f"{name}.bias"][:, None]

    def blocks(x: Tensor, prefix: str) -> Tensor:
        for j in range(config.depth):
            dilation = config.dilation_growth_rate ** (config.depth - 1 - j)
            name = f"{prefix}.model.{j}"
            inner = conv(act(norm(x, f"{name}.norm1")), f"{name}.conv1", padding=dilation, dilation=dilation)
            x = x + conv(act(norm(inner, f"{name}.norm2")), f"{name}.conv2", padding=0)
        return x

    last = 2 + config.down_t
    z = conv(x.transpose(1, 2), "encoder.model.0").relu()
    for i in range(2, last):
        z = conv(z, f"encoder.model.{i}.0", config.stride_t, config.stride_t // 2)
        z = blocks(z, f"encoder.model.{i}.1")
    z = conv(z, f"encoder.model.{last}")
    y = conv(z, "decoder.model.0").relu()
    for i in range(2, last):
        y = blocks(y, f"decoder.model.{i}.0").repeat_interleave(2, dim=2)
        y = conv(y, f"decoder.model.{i}.2")
    y = conv(conv(y, f"decoder.model.{last}").relu(), f"decoder.model.{last + 2}")
    return z, y.transpose(1, 2)


@pytest.mark.parametrize(
    "settings",
    [
        {"down_t": 2},
        {"activation": "silu", "depth": 2},
        {"activation": "gelu", "dilation_growth_rate": 2},
        {"norm": "LN"},
        {"norm": "BN"},
        {"norm": "GN", "width": 64},
        {"stride_t": 4},
    ],
)
def test_values_by_hand(settings):
    model = tiny(**settings)
    for name, value in model.state_dict().items():
        if "norm" in name and value.is_floating_point():
            value.copy_(0.5 + torch.rand_like(value))
    # A small scale shows a wrong epsilon.
    x = 0.02 * torch.randn(2, 32, 10)
    with torch.no_grad():
        latents, decoded = by_hand(model.state_dict(), x, model.config)
        model.eval()
        torch.testing.assert_close(model.encode(x), latents, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.decode(latents), decoded, rtol=1e-5, atol=1e-6)


def test_forward_decodes_what_the_quantizer_gives():
    model = tiny(quantize_dropout_prob=0.0)
    model(torch.randn(4, 32, 10))
    model.eval()
    x = torch.randn(4, 32, 10)
    recon, loss, perplexity = model(x)
    quantized, _, expected_loss, expected_perplexity = model.quantizer(model.encode(x))
    assert torch.equal(recon, model.decode(quantized))
    assert torch.equal(loss, expected_loss)
    assert torch.equal(perplexity, expected_perplexity)


def test_training_reaches_every_weight():
    model = tiny(quantize_dropout_prob=0.0)
    recon, loss, _ = model(torch.randn(4, 32, 10))
    (recon.square().mean() + loss).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


# Configuration


def test_the_config_reaches_the_quantizer():
    settings = {"shared_codebook": True, "quantize_dropout_prob": 0.7, "mu": 0.9, "reset_threshold": 2.5}
    quantizer = tiny(**settings).quantizer
    assert quantizer.shared_codebook
    assert (quantizer.num_quantizers, quantizer.nb_code, quantizer.code_dim) == (2, 16, 4)
    assert quantizer.quantize_dropout_prob == 0.7
    assert {(layer.mu, layer.reset_threshold) for layer in quantizer.layers} == {(0.9, 2.5)}


def test_config_survives_a_round_trip():
    config = RVQVAEConfig(**TINY, norm="LN", activation="gelu", mu=0.5)
    assert RVQVAEConfig.from_dict(config.to_dict()) == config
    assert RVQVAEConfig.from_dict({}) == RVQVAEConfig()


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("input_dim", "width", "code_dim", "nb_code", "num_quantizers", "depth", "stride_t",
                                "dilation_growth_rate") for value in (0, -1, 1.5, "3", True, None)]
    + [("down_t", -1), ("down_t", 0.5), ("down_t", None)]
    + [("activation", "swish"), ("activation", None), ("activation", ["relu"])]
    + [("norm", "IN"), ("norm", ""), ("norm", ["LN"]), ("norm", "GN")]
    + [("shared_codebook", "no"), ("shared_codebook", 1)]
    + [("quantize_dropout_prob", value) for value in (-0.1, 1.1, "0.5", None, True, float("nan"))]
    + [("mu", value) for value in (1, -0.1, "x", None, float("nan"))]
    + [("reset_threshold", value) for value in (-1, "x", None, float("nan"))],
)  # fmt: skip
def test_bad_settings_are_told_by_name(name, value):
    with pytest.raises(SettingsError) as told:
        RVQVAEConfig.from_dict(TINY | {"width": 40} | {name: value})
    assert told.value.where == f"model config: {name}"
    assert repr(value) in told.value.found
    assert "\n" not in str(told.value)


def test_unknown_settings_are_told_by_name():
    with pytest.raises(SettingsError, match=r"file\.json: widht: expected one of .*width") as told:
        RVQVAEConfig.from_dict({"widht": 8}, "file.json")
    assert told.value.found == "'widht'"


# Public weights. These files were written by the public implementations' own classes, and so were the numbers.


def published(folder: str, name: str, key: str) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """State dict and expected numbers of a public checkpoint."""
    path = FIXTURES / folder / name
    if not path.exists():
        pytest.skip(f"needs ../shared/fixtures/{folder}, which is not part of the repository")
    with np.load(FIXTURES / folder / "expected.npz") as archive:
        expected = dict(archive)
    return torch.load(path, weights_only=True, map_location="cpu")[key], expected


def model_for(state: dict[str, Tensor], layers: int) -> RVQVAE:
    """A model of the sizes that the shapes tell, with the weights loaded key by key."""
    down_t = len({key.split(".")[2] for key in state if key.startswith("encoder.model.") and ".1.model." in key})
    width, dim, _ = state["encoder.model.0.weight"].shape
    nb_code, code_dim = state["quantizer.layers.0.codebook"].shape
    model = RVQVAE(
        RVQVAEConfig(dim, width, code_dim, nb_code, num_quantizers=layers, down_t=down_t, quantize_dropout_prob=0.2)
    )
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def assert_close(got: Tensor, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    assert np.abs(got.numpy() - expected).max() <= 1e-5


def token_perplexities(indices: np.ndarray, codes: int) -> list[float]:
    shares = [np.bincount(layer.reshape(-1), minlength=codes) / layer.size for layer in np.moveaxis(indices, -1, 0)]
    return [float(np.exp(-(share * np.log(share + 1e-7)).sum())) for share in shares]


RESIDUAL = [
    ("momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2", "model/latest.tar", "vq_model"),
    ("momask/t2m/rvq_nq4_dc32_nc64_noshare_qdp0.2", "model/net_best_fid.tar", "vq_model"),
    ("syntalker/RVQVAE_upper", "net_200000.pth", "net"),
    ("syntalker/RVQVAE_whole330", "net_200000.pth", "net"),
]


@pytest.mark.parametrize(("folder", "name", "key"), RESIDUAL)
def test_public_residual_weights_give_their_own_numbers(folder, name, key):
    state, expected = published(folder, name, key)
    layers = expected["indices"].shape[-1]
    assert set(state) == published_keys(len([k for k in state if k.endswith(".1.model.0.conv1.weight")]), 3, layers)
    model = model_for(state, layers)
    assert not any(layer.ema_known for layer in model.quantizer.layers)
    motion = torch.from_numpy(expected["motion"])

    latents = model.encode(motion)
    assert_close(latents, expected["latent"])
    quantized, indices, loss, perplexity, codes = model.quantizer(latents, return_all_codes=True)
    np.testing.assert_array_equal(indices.numpy(), expected["indices"])
    assert_close(quantized, expected["quantized"])
    assert_close(model.decode(quantized), expected["recon"])
    assert_close(model(motion)[0], expected["recon"])
    assert_close(model.quantizer.codebooks, expected["codebooks"])
    # Theirs are [Q, B, C, T'].
    assert_close(codes.transpose(2, 3), expected["codes_from_indices"])
    assert_close(model.quantizer.get_codes_from_indices(indices).transpose(2, 3), expected["codes_from_indices"])
    assert_close(model.decode(model.quantizer.get_codebook_entry(indices)), expected["recon_forward_decoder"])
    # Our loss has both terms, theirs one.
    np.testing.assert_allclose(loss.item(), 2 * expected["commit_loss"], rtol=1e-5)
    np.testing.assert_allclose(model.quantizer.last.commit_loss.numpy(), 2 * expected["layer_commit"], rtol=1e-5)
    np.testing.assert_allclose(perplexity.item(), expected["perplexity"], rtol=1e-5)
    np.testing.assert_allclose(model.quantizer.last.perplexity.numpy(), expected["layer_perplexity"], rtol=1e-5)


@pytest.mark.parametrize(("folder", "name", "key"), RESIDUAL)
def test_public_residual_weights_agree_at_every_depth(folder, name, key):
    state, expected = published(folder, name, key)
    layers = expected["indices"].shape[-1]
    model = model_for(state, layers)
    latents = model.encode(torch.from_numpy(expected["motion"]))
    for i in range(layers):
        kept = i + 1
        quantized, indices, loss, perplexity = model.quantizer(latents, force_dropout_index=kept)
        np.testing.assert_array_equal(indices.numpy(), expected["indices_k"][i])
        assert_close(model.decode(quantized), expected["recon_k"][i])
        np.testing.assert_allclose(loss.item(), 2 * expected["commit_k"][i], rtol=1e-5)
        np.testing.assert_allclose(perplexity.item(), expected["perplexity_k"][i], rtol=1e-5)
        shown = model.decode(model.quantizer.get_codebook_entry(indices[..., :kept]))
        assert_close(shown, expected["recon_k"][i])


def test_gesturelsm_weights_with_their_projection_folded_into_the_codebooks():
    state, expected = published("gesturelsm/RVQVAE_upper", "net_80000.pth", "net")
    folded = {key: value for key, value in state.items() if "embedding_proj" not in key}
    for q in range(4):
        prefix = f"quantizer.layers.{q}."
        projection = state[prefix + "embedding_proj.weight"], state[prefix + "embedding_proj.bias"]
        folded[prefix + "codebook"] = F.linear(state[prefix + "codebook"], *projection)
    model = model_for(folded, 4)
    assert_close(model.quantizer.codebooks, expected["codebooks_projected"])
    quantized, indices, loss, _ = model.quantizer(model.encode(torch.from_numpy(expected["motion"])))
    np.testing.assert_array_equal(indices.numpy(), expected["indices"])
    assert_close(quantized, expected["quantized"])
    assert_close(model.decode(quantized), expected["recon"])
    np.testing.assert_allclose(loss.item(), expected["commit_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("folder", "name", "key", "prefix"),
    [
        ("t2mgpt/VQVAE", "net_last.pth", "net", "vqvae."),
        ("t2mgpt/VQVAE", "net_best_fid.pth", "net", "vqvae."),
        ("motiongpt", "checkpoints/epoch=99.ckpt", "state_dict", "vae."),
    ],
)
def test_public_weights_of_a_single_quantizer_give_their_own_numbers(folder, name, key, prefix):
    wrapped, expected = published(folder, name, key)
    state = {key.removeprefix(prefix): value for key, value in wrapped.items()}
    state["quantizer.layers.0.codebook"] = state.pop("quantizer.codebook")
    model = model_for(state, 1)
    motion = torch.from_numpy(expected["motion"])
    latents = model.encode(motion)
    assert_close(latents, expected["latent"])
    quantized, indices, loss, perplexity = model.quantizer(latents)
    np.testing.assert_array_equal(indices[..., 0].numpy(), expected["indices"])
    assert_close(quantized, expected["quantized"])
    assert_close(model.decode(quantized), expected["recon"])
    np.testing.assert_allclose(loss.item(), 2 * expected["commit_loss"], rtol=1e-5)
    np.testing.assert_allclose(perplexity.item(), expected["perplexity"], rtol=1e-5)
    assert token_perplexities(indices.numpy(), len(expected["codebook"])) == pytest.approx(
        [perplexity.item()], rel=1e-5
    )
