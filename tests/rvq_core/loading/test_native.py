import base64
import json
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from rvq_core.autoencoder import RVQVAE, RVQVAEConfig
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.files import sha256_of, written_whole
from rvq_core.loading import Normalizer, load_checkpoint
from rvq_core.loading.formats.native import NativeHeader, save_native

TINY = {"input_dim": 5, "width": 8, "code_dim": 4, "nb_code": 6, "num_quantizers": 3, "depth": 1}
EMA = (".code_sum", ".code_count", ".init")


def trained(**settings: object) -> RVQVAE:
    model = RVQVAE(RVQVAEConfig(**(TINY | settings)))
    for _ in range(3):
        model(torch.randn(4, 16, 5))
    return model.eval()


def write(path: Path, model: RVQVAE | None = None, **settings: object) -> Path:
    model = trained(**settings) if model is None else model
    header = NativeHeader(model.config, "raw", 25.0, {"train_clips": ["a"], "held_out_clips": ["b"], "steps": 3})
    save_native(path, model, Normalizer(torch.arange(5.0), torch.tensor([1.0, 2, 3, 0, 5])), header)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.safetensors")


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.fixture
def changed(good: Path) -> Callable[..., Path]:
    """The good checkpoint with other tensors (None takes one away), header values or header text."""

    def change(tensors: dict[str, Tensor | None] | None = None, text: str | None = None, **entry: object) -> Path:
        state = load_file(good) | (tensors or {})
        header = json.loads(metadata(good)["rvq-lens"])
        header |= entry
        text = json.dumps(header) if text is None else text
        path = good.with_name("changed.safetensors")
        save_file({key: value for key, value in state.items() if value is not None}, path, {"rvq-lens": text})
        return path

    return change


# Writing and reading again


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


# Writing whole or not at all


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


# Files that cannot be opened


def message(path: str | Path, *inside: str, **options: object) -> str:
    """The one line that loading this file gives; it names the file and holds these words."""
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(path, **options)
    line = str(told.value)
    assert "\n" not in line
    assert Path(path).name in line
    for part in (" expected ", ", found ", "; ", *inside):
        assert part in line, f"{part!r} not in {line!r}"
    assert told.value.do
    return line


def test_no_file(tmp_path):
    message(tmp_path / "none.safetensors", "nothing there")
    with pytest.raises(CheckpointError, match=r"^x{500}") as told:  # a name that no system takes is told in part
        load_checkpoint("x" * 5000)
    assert len(str(told.value)) < 1500


def test_an_empty_run(tmp_path):
    (tmp_path / "run").mkdir()
    message(tmp_path / "run", "folder", "name the file inside it")


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.safetensors").touch()
    message(tmp_path / "empty.safetensors", "found an empty file")


@pytest.mark.parametrize(
    "content", [b"no checkpoint at all, but long enough to be one", bytes(range(256)) * 20, b"\0" * 9]
)
def test_other_bytes(tmp_path, content):
    (tmp_path / "bytes.safetensors").write_bytes(content)
    message(tmp_path / "bytes.safetensors")


@pytest.mark.parametrize("kept", [4, 100, 0.5, 0.999])
def test_a_file_cut_short(good, kept):
    content = good.read_bytes()
    good.write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    message(good)


def test_safetensors_of_another_program(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", {"format": "pt"})
    message(tmp_path / "other.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    message(tmp_path / "other.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"schema": ' + "9" * 5000 + "}"])
def test_a_header_that_is_not_json(changed, text):
    message(changed(text=text), "metadata 'rvq-lens'", "JSON")


@pytest.mark.parametrize("text", ["[1]", "1", "null", "{}", '{"schema": 2}', '{"schema": "1"}'])
def test_a_header_of_another_schema(changed, text):
    message(changed(text=text), "metadata 'rvq-lens'", "schema 1", "version")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", None), ("config", [1]), ("representation", 5), ("fps", "thirty"), ("fps", 0), ("fps", -1),
        ("fps", float("nan")), ("training", [1]), ("training", {"train_clips": 5}),
    ],
)  # fmt: skip
def test_header_values_of_another_kind_are_named(changed, name, value):
    message(changed(**{name: value}), "metadata 'rvq-lens'", name)


def pack(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text)).decode()


def test_code_counts_come_back_and_take_little_room(tmp_path):
    counts = {"train": torch.randint(0, 500, (3, 6)).tolist(), "held_out": [[0] * 6] * 3}
    model = trained()
    path = tmp_path / "counted.safetensors"
    save_native(path, model, None, NativeHeader(model.config, None, None, {"code_counts": counts}))
    assert load_checkpoint(path).training["code_counts"] == counts
    stored = json.loads(metadata(path)["rvq-lens"])["training"]["code_counts"]
    assert json.loads(zlib.decompress(base64.b64decode(stored))) == counts


def test_code_counts_may_stand_as_lists(changed):
    counts = {"train": [[1] * 6] * 3}
    assert load_checkpoint(changed(training={"code_counts": counts})).training["code_counts"] == counts


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (5, "str"), ("no base64!", "packed JSON"), ("AAAA", "packed JSON"), (pack(b"{"), "packed JSON"),
        (pack(b"[" * 100_000), "packed JSON"), (pack(bytes((64 << 20) + 1)), "packed JSON"),
        (pack(b"[1]"), "counts [3, 6]"), ({"train": [[1] * 5] * 3}, "counts [3, 6]"),
        ({"train": [[1] * 6, [1] * 5, [1]]}, "packed JSON"), ({"train": [[-1] * 6] * 3}, "counts [3, 6]"),
        ({"train": [[0.5] * 6] * 3}, "counts [3, 6]"),
    ],
)  # fmt: skip
def test_code_counts_that_are_none_are_named(changed, counts, expected):
    message(changed(training={"code_counts": counts}), "metadata 'rvq-lens'", "training", "code_counts", expected)


@pytest.mark.parametrize(
    ("name", "value"), [("widht", 8), ("nb_code", 0), ("nb_code", "6"), ("mu", None), ("activation", "swish")]
)
def test_a_bad_config_is_named(changed, name, value):
    message(changed(config=TINY | {name: value}), "model config", name, repr(value if name != "widht" else name))


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("nb_code", 7, "quantizer.layers.0.codebook"), ("nb_code", 10**13, "quantizer.layers.0.codebook"),
        ("num_quantizers", 4, "quantizer.layers.3.codebook"), ("num_quantizers", 2, "quantizer.layers.2"),
        ("width", 16, "encoder.model.0.weight"), ("stride_t", 10**10, "encoder.model.2.0.weight"),
        ("depth", 2, "encoder.model.2.1.model.1.conv1.weight"), ("down_t", 2, "encoder.model.3"),
        ("norm", "LN", "norm1.weight"), ("input_dim", 6, "normalizer.mean"), ("width", 10**30, "config"),
    ],
)  # fmt: skip
def test_a_config_of_another_model_is_told_by_the_first_key(changed, name, value, key):
    message(changed(config=TINY | {name: value}), key)


@pytest.mark.parametrize(
    "key",
    [
        "encoder.model.0.weight",
        "decoder.model.5.bias",
        "quantizer.layers.1.codebook",
        "normalizer.std",
        "normalizer.mean",
    ],
)
def test_a_missing_tensor_is_named(changed, key):
    message(changed({key: None}), key, "found none")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder.model.0.weight", torch.zeros(8, 5, 4)), ("quantizer.layers.1.codebook", torch.zeros(4, 6)),
        ("quantizer.layers.1.code_count", torch.zeros(7)), ("normalizer.std", torch.zeros(4)),
    ],
)  # fmt: skip
def test_a_tensor_of_another_shape_is_named(changed, key, value):
    message(changed({key: value}), key, "shape", str(tuple(value.shape)))


def test_complex_weights_are_named(changed):
    message(
        changed({"encoder.model.0.bias": torch.zeros(8, dtype=torch.complex64)}), "encoder.model.0.bias", "complex64"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["decoder.model.0.bias", "quantizer.layers.1.codebook", "normalizer.mean"])
def test_weights_that_are_not_finite_are_named(good, changed, key, value):
    tensor = load_file(good)[key]
    tensor.view(-1)[1] = value
    message(changed({key: tensor}), key, f"1 of {tensor.numel()}")


def test_float8_weights_are_looked_at_too(changed):
    bias = torch.tensor([float("nan")] + [1.0] * 7).to(torch.float8_e4m3fn)
    message(changed({"encoder.model.0.bias": bias}), "encoder.model.0.bias", "1 of 8")
    load_checkpoint(changed({"encoder.model.0.bias": torch.ones(8).to(torch.float8_e4m3fn)}))


def test_an_unknown_tensor_is_named(changed):
    message(changed({"encoder.model.9.weight": torch.zeros(1)}), "encoder.model.9.weight", "unknown")


def test_a_negative_standard_deviation_is_told(changed):
    message(changed({"normalizer.std": -torch.ones(5)}), "normalizer.std", "5 of 5")


# What the user overrides


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
