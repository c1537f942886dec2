import argparse
import json
from pathlib import Path

import numpy as np
import published
import pytest
import torch
import torch.nn.functional as F
from published import with_layers

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError

DIM, PARTS = 12, 3


def saved(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def prefixed(prefix: str, state: dict) -> dict:
    return {prefix + key: value for key, value in state.items()}


def check(path: Path, state: dict, books: list, form: str, down_t: int = 2, **options) -> None:
    """Latents, indices at every depth and reconstructions are those of the independent reading."""
    ckpt = load_checkpoint(path, **options)
    assert ckpt.format == form
    x = torch.randn(2, 16, DIM)
    z = published.encode(state, x, down_t)
    assert torch.allclose(ckpt.model.encode(x), z, atol=1e-5)
    indices, total = published.quantize(z, books)
    for depth in range(1, len(books) + 1):
        quantized, found, *_ = ckpt.quantizer(z, force_dropout_index=depth)
        assert np.array_equal(found.numpy()[..., :depth], indices[..., :depth])
        assert (found[..., depth:] == -1).all()
    assert np.allclose(quantized.numpy(), total, atol=1e-5)
    expected = published.decode(state, torch.from_numpy(total).float(), down_t)
    assert torch.allclose(ckpt.model.decode(quantized), expected, atol=1e-4)


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


def emage_state(dim: int, width: int, codes: int) -> dict:
    state: dict = {}
    for number, into in ((0, dim), (3, width)):
        published.convolution(state, f"encoder.main.{number}", width, into, 3)
        for inner in (0, 2):
            published.convolution(state, f"encoder.main.{number + 2}.model.{inner}", width, width, 3)
    for block in (0, 1):
        for inner in (0, 2):
            published.convolution(state, f"decoder.main.{block}.model.{inner}", width, width, 3)
    for number, out, into in ((2, width, width), (4, dim, width), (6, dim, dim)):
        published.convolution(state, f"decoder.main.{number}", out, into, 3)
    return state | {"quantizer.embedding.weight": torch.randn(codes, width)}


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


def lucidrains_state(books: list, initted: torch.Tensor) -> dict:
    state: dict = {}
    for q, book in enumerate(books):
        key = f"layers.{q}._codebook."
        state |= {
            key + "initted": initted, key + "cluster_size": torch.arange(float(len(book)))[None],
            key + "embed_avg": book[None] * 2, key + "embed": book[None],
        }  # fmt: skip
    return state


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


def test_options_beside_the_file(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "run/model/latest.tar", {"vq_model": with_layers(state, books)})
    (tmp_path / "run/opt.txt").write_text(
        "------------ Options -------------\ndilation_growth_rate: 2\nvq_act: silu\nvq_norm: None\nmu: 0.95\n"
        "output_emb_width: 512\n-------------- End ----------------\n"
    )
    ckpt = load_checkpoint(path)
    assert (ckpt.config.activation, ckpt.config.dilation_growth_rate, ckpt.config.mu) == ("silu", 2, 0.95)
    assert ckpt.config.code_dim == 6  # output_emb_width is ignored by the models
    x = torch.randn(1, 16, DIM)
    assert torch.allclose(ckpt.model.encode(x), published.encode(state, x, growth=2, act=F.silu), atol=1e-5)
    assert any("opt.txt" in note for note in ckpt.notes)


def test_assumptions_are_told_and_can_be_overridden(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "net.pth", {"net": with_layers(state, books)})
    notes = " ".join(load_checkpoint(path).notes)
    assert "activation = relu assumed" in notes and "dilation_growth_rate = 3 assumed" in notes
    ckpt = load_checkpoint(path, activation="gelu", dilation_growth_rate=1)
    x = torch.randn(1, 16, DIM)
    assert torch.allclose(ckpt.model.encode(x), published.encode(state, x, growth=1, act=F.gelu), atol=1e-5)


def test_statistics_in_momask_s_meta_folder(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "run/model/latest.tar", {"vq_model": with_layers(state, books)})
    (tmp_path / "run/meta").mkdir()
    mean, std = np.arange(DIM, dtype=np.float64), np.full(DIM, 2.0)
    np.save(tmp_path / "run/meta/mean.npy", mean)
    np.save(tmp_path / "run/meta/std.npy", std)
    ckpt = load_checkpoint(path)
    assert np.allclose(ckpt.normalizer.apply(np.ones((1, DIM))), (1 - mean) / 2)


@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_objects_beside_the_weights(tmp_path: Path, legacy: bool):
    state, books = published.family_state(), published.codebooks()
    content = {
        "net": with_layers(state, books),
        "args": argparse.Namespace(lr=1e-4, dims=[1, 2]),
        "best": np.float64(1.5),
        "step": np.int64(7),
    }
    path = tmp_path / "net.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    check(path, state, books, "syntalker")


def test_omegaconf_containers_need_no_omegaconf(tmp_path: Path):
    omegaconf = pytest.importorskip("omegaconf")
    state, books = published.family_state(), published.codebooks(1)
    config = omegaconf.OmegaConf.create({"model": {"nfeats": 263, "parts": [1, "two", None, 0.5, True]}})
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": {"cfg": config, "datamodule": None},
    }
    check(saved(tmp_path / "last.ckpt", content), state, books, "motiongpt")


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_never_runs(tmp_path: Path, legacy: bool):
    marker = tmp_path / "it_ran"
    path = tmp_path / "net.pth"
    content = {"net": with_layers(published.family_state(), published.codebooks()), "x": Bomb(str(marker))}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_plain_pickle_is_never_opened(tmp_path: Path):
    import pickle

    marker = tmp_path / "it_ran"
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Bomb(str(marker)), protocol=4))
    with pytest.raises(CheckpointError, match="never opened"):
        load_checkpoint(tmp_path / "x.pkl")
    assert not marker.exists()


def test_a_safetensors_header_of_any_length_is_no_pickle(tmp_path: Path):
    from safetensors.torch import save_file

    whole = with_layers(published.family_state(), published.codebooks())
    for padding in range(0, 256, 8):
        path = tmp_path / f"{padding}.safetensors"
        save_file(whole, path, metadata={"pad": "x" * padding})
        load_checkpoint(path)


def test_archives_that_unpack_to_far_more_are_refused(tmp_path: Path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    with pytest.raises(CheckpointError, match="unpacks to at most"):
        load_checkpoint(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"not a checkpoint at all, just some text that goes on", "neither"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files(tmp_path: Path, share: float, legacy: bool):
    path = tmp_path / "net.pth"
    torch.save(
        {"net": with_layers(published.family_state(), published.codebooks())},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_missing_layer_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    del whole["quantizer.layers.1.codebook"]
    with pytest.raises(CheckpointError, match=r"quantizer\.layers\.1\.codebook"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_missing_weight_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    del whole["decoder.model.3.2.bias"]
    with pytest.raises(CheckpointError, match=r"decoder\.model\.3\.2\.bias"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_wrong_shape_is_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    whole["quantizer.layers.2.codebook"] = torch.randn(10, 5)
    with pytest.raises(CheckpointError, match=r"quantizer\.layers\.2\.codebook"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_nan_weights_are_named(tmp_path: Path):
    whole = with_layers(published.family_state(), published.codebooks())
    whole["encoder.model.0.bias"][3] = float("nan")
    with pytest.raises(CheckpointError, match=r"encoder\.model\.0\.bias.*finite"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


def test_a_never_trained_codebook_is_told(tmp_path: Path):
    state = published.family_state()
    books = [torch.zeros(10, 6)] * 2
    ckpt = load_checkpoint(saved(tmp_path / "net.pth", {"net": with_layers(state, books)}))
    assert any("never trained" in note for note in ckpt.notes)
    _, indices, _, perplexity = ckpt.quantizer(torch.randn(1, 6, 5))
    assert (indices == 0).all() and perplexity.item() == pytest.approx(1.0)


def test_fsq_has_no_codebook(tmp_path: Path):
    state = published.family_state() | {
        "quantizer._levels": torch.tensor([8, 5, 5]),
        "quantizer._basis": torch.tensor([1, 8, 40]),
    }
    with pytest.raises(CheckpointError, match="FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))


def test_a_model_without_any_codebook_is_told_so(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"quantizer\.codebook.*found a model without one, as FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": published.family_state()}))


def test_an_unknown_file_hears_of_the_nearest_format(tmp_path: Path):
    state = {"encoder.main.0.weight": torch.randn(8, 12, 3), "text_embedding.bias": torch.randn(2)}
    with pytest.raises(CheckpointError, match=r"the nearest format is emage, which also needs quantizer\.embedding"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": state}))


def test_no_tensors(tmp_path: Path):
    with pytest.raises(CheckpointError, match="state_dict"):
        load_checkpoint(saved(tmp_path / "net.pth", {"epoch": 3}))
    with pytest.raises(CheckpointError, match="a dictionary of tensors"):
        load_checkpoint(saved(tmp_path / "list.pth", [1, 2]))


def test_file_names_decide_nothing(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    check(saved(tmp_path / "healthy.safetensors", {"net": with_layers(state, books)}), state, books, "syntalker")


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


def test_a_missing_layer_among_codebooks_is_named(tmp_path: Path):
    state = {f"rq.layers.{q}.codebook": torch.randn(4, 3) for q in (0, 2)}
    with pytest.raises(CheckpointError, match=r"rq\.layers\.1\.codebook: expected a codebook for every layer"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


def test_never_trained_codebooks_are_told_in_every_format(tmp_path: Path):
    for number, state in enumerate(
        ({"layers.0.codebook": torch.zeros(4, 3)}, lucidrains_state([torch.zeros(4, 3)], torch.tensor(False)),
         emage_state(DIM, 8, 10) | {"quantizer.embedding.weight": torch.zeros(10, 8)})
    ):  # fmt: skip
        notes = load_checkpoint(saved(tmp_path / f"{number}.pt", state)).notes
        assert any("layer 1: never trained" in note for note in notes)


@pytest.mark.parametrize("lost", ["weight", "bias"])
def test_half_a_projection_is_named(tmp_path: Path, lost: str):
    whole = with_layers(published.family_state(), published.codebooks())
    for q in range(3):
        whole[f"quantizer.layers.{q}.embedding_proj.weight"] = torch.eye(6)
        whole[f"quantizer.layers.{q}.embedding_proj.bias"] = torch.zeros(6)
    del whole[f"quantizer.layers.1.embedding_proj.{lost}"]
    with pytest.raises(CheckpointError, match=rf"quantizer\.layers\.1\.embedding_proj\.{lost}"):
        load_checkpoint(saved(tmp_path / "net.pth", {"net": whole}))


@pytest.mark.parametrize("legacy", [False, True])
def test_what_lightning_leaves_in_a_checkpoint(tmp_path: Path, legacy: bool):
    from collections import Counter, defaultdict

    state, books = published.family_state(), published.codebooks(1)
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": argparse.Namespace(paths=[Path("a")], types=[int, dict], inner=argparse.Namespace()),
        "callbacks": {"best": np.float32(1), "flag": np.bool_(True), "history": np.arange(4.0), "kind": np.dtype("f4")},
        "lr_schedulers": [{"milestones": Counter([3, 3])}], "by_clip": defaultdict(list, {"a": [1]}),
    }  # fmt: skip
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=not legacy)
    check(tmp_path / "last.ckpt", state, books, "motiongpt")


def test_numpy_numbers_by_their_older_name(tmp_path: Path):
    import zipfile

    state, books = published.family_state(), published.codebooks()
    new = saved(tmp_path / "new.pth", {"net": with_layers(state, books), "best": np.float64(1.5)})
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(tmp_path / "old.pth", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    check(tmp_path / "old.pth", state, books, "syntalker")


def test_lightning_s_attribute_dictionaries(tmp_path: Path, monkeypatch):
    import sys
    import types

    module = types.ModuleType("lightning.fabric.utilities.data")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    parts = module.__name__.split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    state, books = published.family_state(), published.codebooks(1)
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": module.AttributeDict(lr=1e-4, inner=module.AttributeDict(a=1)),
    }
    check(saved(tmp_path / "last.ckpt", content), state, books, "motiongpt")


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


@pytest.mark.parametrize("state", [{"mask": torch.tensor([4, 2, 1])}, {"project_in.weight": torch.randn(3, 8)},
                                   {"vqvae.quantizer.project_in.weight": torch.randn(3, 8)}])  # fmt: skip
def test_lookup_free_quantizers_alone(tmp_path: Path, state: dict):
    with pytest.raises(CheckpointError, match="FSQ and LFQ"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


@pytest.mark.parametrize("key", ["mlps.0.proj_in.weight", "layers.0._codebook.batch_mean"])
def test_codes_that_are_not_what_is_stored_are_refused(tmp_path: Path, key: str):
    state = lucidrains_state(published.codebooks(), torch.tensor(True)) | {key: torch.zeros(6)}
    with pytest.raises(CheckpointError, match="implicit or affine"):
        load_checkpoint(saved(tmp_path / "x.pt", state))


def test_cosine_codebooks_in_half_precision(tmp_path: Path):
    books = [F.normalize(book, dim=1).half() for book in published.codebooks()]
    ckpt = load_checkpoint(saved(tmp_path / "rvq.pt", lucidrains_state(books, torch.tensor(True))))
    assert any("cosine" in note for note in ckpt.notes)
    assert torch.allclose(ckpt.codebooks[0].norm(dim=1), torch.ones(10), atol=1e-6)


def test_emage_codes_of_another_width(tmp_path: Path):
    state = emage_state(DIM, 8, 10) | {"quantizer.embedding.weight": torch.randn(10, 6)}
    with pytest.raises(CheckpointError, match=r"quantizer\.embedding\.weight: expected codes of the encoder's width 8"):
        load_checkpoint(saved(tmp_path / "x.bin", {"model_state": state}))


def test_threads_open_files_at_the_same_time(tmp_path: Path):
    from concurrent.futures import ThreadPoolExecutor

    content = {"net": with_layers(published.family_state(), published.codebooks()), "args": argparse.Namespace(a=1)}
    path = saved(tmp_path / "net.pth", content)
    with ThreadPoolExecutor(8) as threads:
        assert {ckpt.format for ckpt in threads.map(load_checkpoint, [path] * 40)} == {"syntalker"}
