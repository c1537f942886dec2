"""Checkpoints of the field: each opens, and acts as an independent reading of it."""

import json
from pathlib import Path

import numpy as np
import published
import pytest
import torch
import torch.nn.functional as F
from published import with_layers
from published_checks import DIM, check, emage_state, lucidrains_state, prefixed, saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError


def test_momask_with_optimizer_state_beside_the_model(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    whole = with_layers(state, books)
    content = {"vq_model": whole, "opt_vq_model": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "ep": 3, "total_it": 9}
    check(saved(tmp_path / "run/model/latest.tar", content), state, books, "momask")


def test_bare_state_dict_is_momask(tmp_path: Path):
    state, books = published.family_state(down_t=1), published.codebooks()
    check(saved(tmp_path / "state.pt", with_layers(state, books)), state, books, "momask", down_t=1)


def test_syntalker(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    check(saved(tmp_path / "net_1.pth", {"net": with_layers(state, books)}), state, books, "syntalker")


def test_gesturelsm_codebooks_act_projected(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    whole, acting = with_layers(state, books), []
    for q, book in enumerate(books):
        weight, bias = torch.randn(6, 6), torch.randn(6)
        whole |= {
            f"quantizer.layers.{q}.embedding_proj.weight": weight,
            f"quantizer.layers.{q}.embedding_proj.bias": bias,
        }
        acting.append(book @ weight.T + bias)
    path = saved(tmp_path / "net_300000_upper.pth", {"net": whole})
    check(path, state, acting, "gesturelsm")
    for found, expected in zip(load_checkpoint(path).codebooks, acting, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("key", ["quantizer.codebook", "quantizer.embedding.weight"])
def test_t2m_gpt_with_both_of_its_quantizers(tmp_path: Path, key: str):
    state, books = published.family_state(), published.codebooks(1)
    path = saved(tmp_path / "net_last.pth", {"net": prefixed("vqvae.", state | {key: books[0]})})
    check(path, state, books, "t2m-gpt")


def test_lamp_is_t2m_gpt_in_momask_s_container(tmp_path: Path):
    state, books = published.family_state(), published.codebooks(1)
    content = {"vq_model": prefixed("vqvae.", state | {"quantizer.codebook": books[0]}), "ep": 1}
    check(saved(tmp_path / "net_best_fid.tar", content), state, books, "t2m-gpt")


@pytest.mark.parametrize("prefix", ["vae.", "motion_vae."])
def test_motiongpt_among_language_model_keys(tmp_path: Path, prefix: str):
    state, books = published.family_state(), published.codebooks(1)
    others = {"lm.language_model.shared.weight": torch.randn(4, 4), "metrics.t2m.encoder.weight": torch.randn(3)}
    content = {"state_dict": prefixed(prefix, state | {"quantizer.codebook": books[0]}) | others, "epoch": 99}
    check(saved(tmp_path / "epoch=99.ckpt", content), state, books, "motiongpt")


def test_ddp_prefix_and_half_precision(tmp_path: Path):
    state = {key: value.half() for key, value in published.family_state().items()}
    books = [book.half() for book in published.codebooks()]
    path = saved(tmp_path / "ddp.pth", {"net": prefixed("module.", with_layers(state, books))})
    check(path, state, [book.float() for book in books], "syntalker")


def test_mmm_halves_are_two_codebooks(tmp_path: Path):
    upper, lower = published.codebooks(2)
    content = {"net": {"vqvae.quantizer_upper.codebook": upper, "vqvae.quantizer_lower.codebook": lower}}
    ckpt = load_checkpoint(saved(tmp_path / "net_last.pth", content))
    assert ckpt.format == "codebooks" and ckpt.model is None
    assert ckpt.codebook_names == ("upper", "lower")
    assert torch.equal(ckpt.codebooks[0], upper) and torch.equal(ckpt.codebooks[1], lower)


def emage_block(state: dict, key: str, x: torch.Tensor) -> torch.Tensor:
    inner = F.leaky_relu(published.conv1d(state, f"{key}.model.0", x), 0.2)
    return x + published.conv1d(state, f"{key}.model.2", inner)


@pytest.mark.parametrize("kind", ["folder", "bin"])
def test_emage(tmp_path: Path, kind: str):
    from safetensors.torch import save_file

    state = emage_state(DIM, 8, 10)
    if kind == "folder":
        path = tmp_path / "upper"
        path.mkdir()
        save_file(state, path / "model.safetensors", metadata={"format": "pt"})
        (path / "config.json").write_text(json.dumps({"vae_layer": 2, "vae_codebook_size": 10}))
    else:
        path = saved(tmp_path / "last.bin", {"model_state": prefixed("module.", state)})
    ckpt = load_checkpoint(path)
    assert ckpt.format == "emage" and ckpt.config.stride == 1
    x = torch.randn(2, 9, DIM)
    z = x.transpose(1, 2)
    for number in (0, 3):
        z = emage_block(
            state, f"encoder.main.{number + 2}", F.leaky_relu(published.conv1d(state, f"encoder.main.{number}", z), 0.2)
        )
    assert torch.allclose(ckpt.model.encode(x), z, atol=1e-5)
    indices, total = published.quantize(z, [state["quantizer.embedding.weight"]])
    quantized, found, *_ = ckpt.quantizer(z)
    assert np.array_equal(found.numpy(), indices)
    y = torch.from_numpy(total).float()
    for block in (0, 1):
        y = emage_block(state, f"decoder.main.{block}", y)
    for number in (2, 4):
        y = F.leaky_relu(published.conv1d(state, f"decoder.main.{number}", y), 0.2)
    y = published.conv1d(state, "decoder.main.6", y).transpose(1, 2)
    assert torch.allclose(ckpt.model.decode(quantized), y, atol=1e-4)


@pytest.mark.parametrize("initted", [torch.tensor([1.0]), torch.tensor(True)], ids=["float (1,)", "scalar"])
@pytest.mark.parametrize("prefix", ["", "quantizer."])
def test_vector_quantize_pytorch(tmp_path: Path, initted: torch.Tensor, prefix: str):
    books = published.codebooks()
    path = saved(tmp_path / "rvq.pt", prefixed(prefix, lucidrains_state(books, initted)))
    ckpt = load_checkpoint(path)
    assert ckpt.format == "lucidrains" and ckpt.model is None and ckpt.config is None
    z = torch.randn(2, 6, 7)
    indices, total = published.quantize(z, books)
    quantized, found, *_ = ckpt.quantizer(z)
    assert np.array_equal(found.numpy(), indices) and np.allclose(quantized.numpy(), total, atol=1e-5)
    assert torch.equal(ckpt.ema_counts[1], torch.arange(10.0))
    assert bool(ckpt.quantizer.layers[0].init)


def test_projections_stand_inside_the_quantizer(tmp_path: Path):
    books = published.codebooks()
    into, out = torch.nn.Linear(9, 6), torch.nn.Linear(6, 9)
    state = lucidrains_state(books, torch.tensor(True))
    for name, layer in (("project_in", into), ("project_out", out)):
        state |= {f"{name}.weight": layer.weight.detach(), f"{name}.bias": layer.bias.detach()}
    ckpt = load_checkpoint(saved(tmp_path / "rvq.pt", state))
    z = torch.randn(2, 9, 7)
    with torch.no_grad():
        inner = into(z.transpose(1, 2)).transpose(1, 2)
        indices, total = published.quantize(inner, books)
        expected = out(torch.from_numpy(total).float().transpose(1, 2)).transpose(1, 2)
    quantized, found, *_ = ckpt.quantizer(z)
    assert np.array_equal(found.numpy(), indices)
    assert torch.allclose(quantized, expected, atol=1e-5)
    assert torch.equal(ckpt.quantizer.get_codebook_entry(found), quantized)
    assert ckpt.codebooks[0].shape == (10, 6)


def test_cosine_codebooks_are_told(tmp_path: Path):
    books = [F.normalize(book, dim=1) for book in published.codebooks()]
    ckpt = load_checkpoint(saved(tmp_path / "rvq.pt", lucidrains_state(books, torch.tensor(True))))
    assert any("cosine" in note for note in ckpt.notes)


def test_single_vector_quantize(tmp_path: Path):
    (book,) = published.codebooks(1)
    state = {
        key.removeprefix("layers.0."): value for key, value in lucidrains_state([book], torch.tensor(True)).items()
    }
    ckpt = load_checkpoint(saved(tmp_path / "vq.pt", state))
    assert ckpt.quantizer.num_quantizers == 1 and torch.equal(ckpt.codebooks[0], book)


def test_any_other_model_opens_as_codebooks(tmp_path: Path):
    books = published.codebooks()
    state = {f"tokenizer.quantizer.layers.{q}.codebook": book for q, book in enumerate(books)}
    ckpt = load_checkpoint(saved(tmp_path / "other.pt", state | {"tokenizer.encoder.weight": torch.randn(3)}))
    assert ckpt.format == "codebooks" and ckpt.model is None
    assert all(torch.equal(a, b) for a, b in zip(ckpt.codebooks, books, strict=True))


def test_identical_layers_are_recognised_as_shared(tmp_path: Path):
    state, (book,) = published.family_state(), published.codebooks(1)
    path = saved(tmp_path / "net.pth", {"net": with_layers(state, [book] * 4)})
    ckpt = load_checkpoint(path)
    assert ckpt.config.shared_codebook and ckpt.quantizer.layers[0] is ckpt.quantizer.layers[3]
    check(path, state, [book] * 4, "syntalker")


def test_single_tensors_beside_the_model(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    content = {"loss": torch.tensor(0.3), "net": with_layers(state, books), "mean": torch.zeros(DIM)}
    check(saved(tmp_path / "net.pth", content), state, books, "syntalker")


def test_buffers_that_are_not_needed(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    extra = {"quantizer.layers.0.usage": torch.zeros(10), "loss_fn.weight": torch.ones(3), "step": torch.tensor(5)}
    check(saved(tmp_path / "net.pth", {"net": with_layers(state, books) | extra}), state, books, "syntalker")


def test_a_compiled_model(tmp_path: Path):
    state, books = published.family_state(), published.codebooks(1)
    whole = prefixed("module._orig_mod.vqvae.", state | {"quantizer.codebook": books[0]})
    check(saved(tmp_path / "net.pth", {"net": whole}), state, books, "t2m-gpt")


@pytest.mark.parametrize("quantizer", ["quantizer", "quantizer_joint"])
@pytest.mark.parametrize("other", ["another module", "a convolution over two axes"])
def test_other_encoders_around_the_same_quantizer(tmp_path: Path, quantizer: str, other: str):
    """MoGenTS and InterMask use some names of the family for other modules: their codebooks open."""
    state, books = published.family_state(), published.codebooks()
    if other == "another module":
        state["encoder.attention.weight"] = torch.randn(4, 4)
    else:
        state["encoder.model.0.weight"] = torch.randn(8, 12, 3, 3)
    whole = state | {f"{quantizer}.layers.{q}.codebook": book for q, book in enumerate(books)}
    ckpt = load_checkpoint(saved(tmp_path / "latest.tar", {"vq_model": whole}))
    assert ckpt.format == "codebooks" and ckpt.model is None
    assert all(torch.equal(a, b) for a, b in zip(ckpt.codebooks, books, strict=True))


def test_a_lone_codebook(tmp_path: Path):
    (book,) = published.codebooks(1)
    ckpt = load_checkpoint(saved(tmp_path / "x.pt", {"tokenizer.quantizer.codebook": book}))
    assert ckpt.format == "codebooks" and torch.equal(ckpt.codebooks[0], book)


@pytest.mark.parametrize("norm", ["BN", "LN", "GN"])
def test_norms_in_the_residual_blocks(tmp_path: Path, norm: str):
    from rvq_core import RVQVAE, RVQVAEConfig

    model = RVQVAE(RVQVAEConfig(input_dim=DIM, width=32, code_dim=6, nb_code=10, num_quantizers=2, norm=norm, depth=2))
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    x = torch.randn(2, 16, DIM)
    model.encoder(x.transpose(1, 2))  # running statistics
    model.eval()
    state = {key: value for key, value in model.state_dict().items() if not key.endswith(("_sum", "_count", "init"))}
    state = {key: value for key, value in state.items() if norm != "BN" or not key.endswith("batches_tracked")}
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", {"net": state}), norm=None if norm == "BN" else norm)
    assert ckpt.config.norm == norm
    assert torch.allclose(ckpt.model.encode(x), model.encode(x), atol=1e-6)
    assert any("norm = LN assumed" in note for note in load_checkpoint(tmp_path / "net.pth").notes) == (norm != "BN")


@pytest.mark.parametrize(("down_t", "depth"), [(0, 1), (1, 1), (1, 4), (3, 2)])
def test_depths_and_halvings_are_read_from_keys(tmp_path: Path, down_t: int, depth: int):
    state, books = published.family_state(down_t=down_t, depth=depth), published.codebooks()
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", {"net": with_layers(state, books)}))
    assert (ckpt.config.down_t, ckpt.config.depth) == (down_t, depth if down_t else 1)
    x = torch.randn(2, 16, DIM)
    z = published.encode(state, x, down_t, depth)
    assert torch.allclose(ckpt.model.encode(x), z, atol=1e-5)
    assert torch.allclose(ckpt.model.decode(z), published.decode(state, z, down_t, depth), atol=1e-4)


def test_cosine_codebooks_in_half_precision(tmp_path: Path):
    books = [F.normalize(book, dim=1).half() for book in published.codebooks()]
    ckpt = load_checkpoint(saved(tmp_path / "rvq.pt", lucidrains_state(books, torch.tensor(True))))
    assert any("cosine" in note for note in ckpt.notes)
    assert torch.allclose(ckpt.codebooks[0].norm(dim=1), torch.ones(10), atol=1e-6)


def test_emage_codes_of_another_width(tmp_path: Path):
    state = emage_state(DIM, 8, 10) | {"quantizer.embedding.weight": torch.randn(10, 6)}
    with pytest.raises(CheckpointError, match=r"quantizer\.embedding\.weight: expected codes of the encoder's width 8"):
        load_checkpoint(saved(tmp_path / "x.bin", {"model_state": state}))
