"""Settings, mean and std that are given beside a native checkpoint."""

import numpy as np
import pytest
import torch
from native_files import TINY, message, trained, write

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading import load_checkpoint


def test_a_negative_standard_deviation_is_told(changed):
    message(changed({"normalizer.std": -torch.ones(5)}), "normalizer.std", "5 of 5")


@pytest.mark.parametrize(("name", "value"), [("activation", "gelu"), ("dilation_growth_rate", 2)])
def test_an_override_of_the_config_acts_and_is_noted(tmp_path, name, value):
    path = write(tmp_path / "model.safetensors", depth=3)
    plain, checkpoint = load_checkpoint(path), load_checkpoint(path, **{name: value})
    assert getattr(checkpoint.config, name) == value
    assert checkpoint.notes == [f"{name} = {value}, given by the user"]
    expected = RVQVAE(RVQVAEConfig(**TINY | {"depth": 3, name: value})).eval()
    expected.load_state_dict(plain.model.state_dict())
    x = torch.randn(2, 16, 5)
    assert torch.equal(checkpoint.model.encode(x), expected.encode(x))
    assert not torch.equal(checkpoint.model.encode(x), plain.model.encode(x))
    assert checkpoint.quantizer is checkpoint.model.quantizer
    assert not any(module.training for module in checkpoint.model.modules())
    assert not any(p.requires_grad for p in checkpoint.model.parameters())


def test_an_override_of_the_norm_acts(tmp_path):
    # LN and GN hold the same tensors: only the user knows.
    path = write(tmp_path / "model.safetensors", norm="LN", width=32)
    x = torch.randn(2, 16, 5)
    checkpoint = load_checkpoint(path, norm="GN")
    assert checkpoint.config.norm == "GN"
    assert not torch.equal(checkpoint.model.encode(x), load_checkpoint(path).model.encode(x))


def test_an_override_does_not_make_up_ema_counts(tmp_path):
    model = trained()
    for layer in model.quantizer.layers:
        layer.ema_known = False
    path = write(tmp_path / "unknown.safetensors", model)
    assert load_checkpoint(path, activation="gelu").ema_counts is None


def test_an_override_keeps_ema_counts(good):
    stored = load_checkpoint(good).ema_counts
    assert torch.equal(torch.stack(load_checkpoint(good, activation="gelu").ema_counts), torch.stack(stored))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "swish"), ("norm", "IN"), ("norm", "GN"),
        ("dilation_growth_rate", 0), ("dilation_growth_rate", "3"), ("dilation_growth_rate", 1.5),
    ],
)  # fmt: skip
def test_an_override_out_of_range_is_named(good, name, value):
    with pytest.raises(SettingsError) as told:
        load_checkpoint(good, **{name: value})
    assert name in told.value.where
    assert repr(value) in str(told.value)


def test_a_norm_that_the_weights_do_not_have_is_told(good):
    message(good, "norm", norm="LN")


@pytest.mark.parametrize("kind", ["path", "str", "array", "tensor", "list"])
def test_mean_and_std_replace_the_normalizer(good, tmp_path, kind):
    mean, std = np.arange(5) / 2, np.arange(5) + 1.0
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "std.npy", std)
    values = {
        "path": (tmp_path / "mean.npy", tmp_path / "std.npy"),
        "str": (str(tmp_path / "mean.npy"), str(tmp_path / "std.npy")),
        "array": (mean, std),
        "tensor": (torch.tensor(mean, requires_grad=True), torch.tensor(std).bfloat16()),
        "list": (mean.tolist(), std.tolist()),
    }[kind]
    checkpoint = load_checkpoint(good, mean=values[0], std=values[1])
    assert checkpoint.normalizer.mean.dtype == checkpoint.normalizer.std.dtype == torch.float32
    assert checkpoint.normalizer.mean.tolist() == mean.tolist()
    assert checkpoint.normalizer.std.tolist() == std.tolist()
    assert checkpoint.notes == ["normalizer given by the user"]


@pytest.mark.parametrize("given", ["mean", "std"])
def test_mean_and_std_come_together(good, given):
    with pytest.raises(SettingsError, match="expected both"):
        load_checkpoint(good, **{given: np.ones(5)})


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.ones(6), "(6,)"), (np.ones((1, 5)), "(1, 5)"), (np.float32(1), "()"), (np.full(5, np.nan), "finite"),
        (np.full(5, 1e300), "finite"), (np.full(5, 1j), "complex"), (np.array(["a"] * 5), "<U1"),
        (-np.ones(5), "below 0"), (np.zeros(5, dtype=[("a", "f4")]), "'a'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_file", [True, False])
def test_values_that_are_no_standard_deviations_are_told(good, tmp_path, values, found, as_file):
    np.save(tmp_path / "std.npy", values)
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(good, mean=np.zeros(5), std=tmp_path / "std.npy" if as_file else values)
    assert told.value.where.startswith("std")
    assert ("std.npy" in told.value.where) == as_file
    assert found in str(told.value)


def test_a_mean_of_another_length_is_told(good):
    with pytest.raises(CheckpointError, match=r"mean: expected 5 values, found shape \(4,\)"):
        load_checkpoint(good, mean=np.zeros(4), std=np.ones(5))


def npy_claiming(size: int) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({size},), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(40)


@pytest.mark.parametrize("content", [b"", b"no array", npy_claiming(6), npy_claiming(10**14), b"PK\x03\x04 cut", None])
def test_files_that_are_no_arrays_are_told(good, tmp_path, content):
    path = tmp_path / "std.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"std.*std\.npy: expected a \.npy file"):
        load_checkpoint(good, mean=np.zeros(5), std=path)


def test_archives_and_pickles_are_not_opened(good, tmp_path):
    np.savez(tmp_path / "many.npz", a=np.ones(5))
    np.save(tmp_path / "objects.npy", np.array([1, "a", None, 2, 3], dtype=object))
    for name in ("many.npz", "objects.npy"):
        with pytest.raises(CheckpointError, match=r"expected a \.npy file"):
            load_checkpoint(good, mean=np.zeros(5), std=tmp_path / name)
