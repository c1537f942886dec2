"""Native checkpoints that cannot be opened: what is wrong is named."""

import base64
import json
import zlib

import pytest
import torch
from native_files import TINY, message, metadata, trained
from safetensors.torch import load_file, save_file

from rvq_core.errors import CheckpointError
from rvq_core.loading import load_checkpoint
from rvq_core.loading.formats.base import COSINE
from rvq_core.loading.formats.native import NativeHeader, save_native


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


def test_kinds_are_told_by_their_names(changed):
    message(changed(config=[1]), "config: expected dict, found [1]")
    message(changed(representation=5), "representation: expected str | None, found 5")


@pytest.mark.parametrize("fps", [0.5, 1, 120])
def test_any_frame_rate_above_0(changed, fps):
    assert load_checkpoint(changed(fps=fps)).fps == fps


def test_cosine_codebooks_have_codes_of_length_1(changed, good):
    unit = {
        key: torch.nn.functional.normalize(value, dim=1)
        for key, value in load_file(good).items()
        if key.endswith("codebook")
    }
    config = TINY | {"cosine_codebooks": True}
    assert load_checkpoint(changed(unit, config=config)).notes == [COSINE]
    key = "quantizer.layers.1.codebook"
    off = unit | {key: unit[key] * torch.tensor([1.0, 1, 1 - 2e-4, 1, 1, 1])[:, None]}
    message(changed(off, config=config), key, "codes of length 1", "off by 0.0002")
    fresh = off | {key.replace("codebook", "init"): torch.tensor(False)}
    assert load_checkpoint(changed(fresh, config=config)).notes == [COSINE]
    assert load_checkpoint(changed(off)).notes == []


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
        (pack(b"[" * 100_000), "packed JSON"),
        (pack(b"1".ljust((64 << 20) + 1)), "more than 67,108,864 bytes"), (pack(b"1".ljust(64 << 20)), "counts [3, 6]"),
        (pack(b"{}")[:4] + "!" + pack(b"{}")[4:], "packed JSON"), (pack(b"{}")[:-8], "packed JSON"),
        (pack(b"[1]"), "counts [3, 6]"), (pack(b"5"), "counts [3, 6]"), ({"train": [[1] * 5] * 3}, "counts [3, 6]"),
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
