"""Native checkpoints: written whole, read back bit for bit."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from native_files import EMA, TINY, metadata, trained, write
from safetensors.torch import load_file

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.files import sha256_of, written_whole
from rvq_core.loading import load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native


@pytest.mark.parametrize(
    "settings", [{}, {"shared_codebook": True}, {"norm": "BN"}, {"norm": "LN", "activation": "gelu", "down_t": 2}]
)
def test_a_model_comes_back_bit_for_bit(tmp_path, settings):
    model = trained(**settings)
    checkpoint = load_checkpoint(write(tmp_path / "model.safetensors", model))
    got, expected = checkpoint.model.state_dict(), model.state_dict()
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        assert got[key].dtype == value.dtype
        assert torch.equal(got[key], value), key
    x = torch.randn(2, 16, 5)
    for ours, theirs in zip(
        checkpoint.quantizer(checkpoint.model.encode(x)), model.quantizer(model.encode(x)), strict=True
    ):
        assert torch.equal(ours, theirs)
    assert torch.equal(checkpoint.model(x)[0], model(x)[0])


def test_what_a_checkpoint_tells(good):
    checkpoint = load_checkpoint(str(good))
    assert checkpoint.path == good
    assert (checkpoint.name, checkpoint.format) == ("good", "rvq-lens")
    assert checkpoint.sha256 == sha256_of(good)
    assert checkpoint.config == RVQVAEConfig(**TINY)
    assert (checkpoint.representation, checkpoint.fps) == ("raw", 25.0)
    assert checkpoint.training["steps"] == 3
    assert checkpoint.trained_on == (frozenset("a"), frozenset("b"))
    assert [checkpoint.held_out(name) for name in "abc"] == [False, True, None]
    for name in ("walks/b", "b.bvh", "walks/b.AMC", "b#2", "b_part3", "walks/b_part12.npz#2"):
        assert checkpoint.held_out(name) is True, name
    for name in ("b_part", "ab", "b/c", "b.bvh.old"):
        assert checkpoint.held_out(name) is None, name
    assert checkpoint.notes == []
    assert checkpoint.normalizer.mean.tolist() == [0, 1, 2, 3, 4]
    assert checkpoint.normalizer.std.tolist() == [1, 2, 3, 0, 5]
    assert [tuple(codebook.shape) for codebook in checkpoint.codebooks] == [(6, 4)] * 3


def test_a_loaded_model_is_ready_for_use_and_frozen(good):
    checkpoint = load_checkpoint(good)
    assert checkpoint.quantizer is checkpoint.model.quantizer
    assert not any(module.training for module in checkpoint.model.modules())
    assert not any(p.requires_grad for p in checkpoint.model.parameters())
    assert {value.device.type for value in checkpoint.model.state_dict().values()} == {"cpu"}


def test_training_goes_on_after_loading(good):
    checkpoint = load_checkpoint(good)
    before = torch.stack(checkpoint.ema_counts).clone()
    indices = checkpoint.quantizer.train()(torch.randn(8, 4, 16), force_dropout_index=3)[1]
    for q, counts in enumerate(checkpoint.ema_counts):
        # A codebook that was initialised again would have counted from 1.
        torch.testing.assert_close(
            counts, 0.99 * before[q] + 0.01 * torch.bincount(indices[..., q].flatten(), minlength=6)
        )


def test_loading_draws_no_random_numbers(good):
    state = torch.get_rng_state()
    load_checkpoint(good)
    assert torch.equal(torch.get_rng_state(), state)


def test_no_normalizer_and_nothing_known(tmp_path):
    model = trained()
    save_native(tmp_path / "bare.safetensors", model, None, NativeHeader(model.config, None, None))
    checkpoint = load_checkpoint(tmp_path / "bare.safetensors")
    assert checkpoint.normalizer is None
    assert (checkpoint.representation, checkpoint.fps, checkpoint.training) == (None, None, {})
    assert checkpoint.trained_on == (frozenset(), frozenset())


def test_keys_and_header_of_the_file(good):
    keys = set(load_file(good))
    assert {key.split(".")[0] for key in keys} == {"encoder", "decoder", "quantizer", "normalizer"}
    assert {"normalizer.mean", "normalizer.std", "encoder.model.0.weight", "quantizer.layers.2.code_count"} <= keys
    header = json.loads(metadata(good)["rvq-lens"])
    assert header["schema"] == 1
    assert header["config"]["nb_code"] == 6


def test_a_shared_codebook_is_written_once(tmp_path):
    path = write(tmp_path / "shared.safetensors", shared_codebook=True)
    assert [key for key in load_file(path) if key.endswith("codebook")] == ["quantizer.layers.0.codebook"]
    quantizer = load_checkpoint(path).quantizer
    assert len({id(layer) for layer in quantizer.layers}) == 1
    assert all(layer.ema_known for layer in quantizer.layers)


def test_ema_counts_are_stored(good):
    checkpoint = load_checkpoint(good)
    stored = load_file(good)
    for q, counts in enumerate(checkpoint.ema_counts):
        assert torch.equal(counts, stored[f"quantizer.layers.{q}.code_count"])
        assert not torch.equal(counts, torch.ones(6))


@pytest.mark.parametrize("unknown", [[0, 1, 2], [1]])
def test_ema_is_left_out_where_it_is_not_known(tmp_path, unknown):
    model = trained()
    for q in unknown:
        model.quantizer.layers[q].ema_known = False
    path = write(tmp_path / "unknown.safetensors", model)
    assert [key for key in load_file(path) if key.endswith(EMA)] == []
    checkpoint = load_checkpoint(path)
    assert checkpoint.ema_counts is None
    assert torch.equal(checkpoint.quantizer.codebooks, model.quantizer.codebooks)


def test_a_fresh_model_is_still_fresh_after_loading(tmp_path):
    checkpoint = load_checkpoint(write(tmp_path / "fresh.safetensors", RVQVAE(RVQVAEConfig(**TINY))))
    assert not any(layer.init for layer in checkpoint.quantizer.layers)
    assert torch.equal(torch.stack(checkpoint.ema_counts), torch.zeros(3, 6))


def test_a_failed_write_leaves_the_old_file(good, monkeypatch):
    before = good.read_bytes()

    def fail_half_way(tensors, filename, metadata=None):
        Path(filename).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("rvq_core.loading.formats.native.save_file", fail_half_way)
    with pytest.raises(OSError, match="No space left"):
        write(good)
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir()] == ["good.safetensors"]


def test_training_figures_that_are_not_json_leave_the_old_file(good):
    before, model = good.read_bytes(), trained()
    with pytest.raises(ValueError, match="JSON"):
        save_native(good, model, None, NativeHeader(model.config, None, None, {"loss": float("nan")}))
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir()] == ["good.safetensors"]


def test_a_write_replaces_the_old_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "run" / "deep" / "model.safetensors"
    write(path)
    first = path.read_bytes()
    write(path)
    assert path.read_bytes() != first
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_a_reader_of_the_old_file_is_not_disturbed(good):
    before = good.read_bytes()
    with good.open("rb") as file:
        write(good)
        assert file.read() == before
    assert good.read_bytes() != before


def test_overrides_are_noted_together(good):
    checkpoint = load_checkpoint(good, activation="gelu", mean=np.zeros(5), std=np.ones(5))
    assert checkpoint.notes == ["activation = gelu, given by the user", "normalizer given by the user"]


def test_an_interrupted_block_writes_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_written_file_has_the_usual_permissions(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    with written_whole(tmp_path / "whole") as temporary:
        assert temporary.parent == tmp_path, "on the same disk, so that the change of names is one step"
        temporary.write_text("x")
    assert stat.S_IMODE((tmp_path / "whole").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
