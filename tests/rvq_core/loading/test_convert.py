from pathlib import Path

import numpy as np
import published
import pytest
import torch

from rvq_core import analyze, load_checkpoint
from rvq_core.cli import run
from rvq_core.clips.clip import Clip
from rvq_core.errors import CheckpointError
from rvq_core.loading.convert import convert


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    state = published.family_state()
    books = published.codebooks()
    for q, book in enumerate(books):
        state[f"quantizer.layers.{q}.codebook"] = book
        state[f"quantizer.layers.{q}.embedding_proj.weight"] = torch.randn(6, 6)
        state[f"quantizer.layers.{q}.embedding_proj.bias"] = torch.randn(6)
    torch.save({"net": state}, tmp_path / "net_1.pth")
    return tmp_path / "net_1.pth"


def test_the_converted_file_gives_the_same_tokens(foreign: Path, tmp_path: Path):
    out = tmp_path / "native.safetensors"
    assert run(["convert", str(foreign), str(out)]) == 0
    before, after = load_checkpoint(foreign), load_checkpoint(out)
    assert (before.format, after.format) == ("gesturelsm", "rvq-lens")
    clips = [Clip("walk", 30.0, np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32), "raw")]
    first, second = analyze(before, clips), analyze(after, clips)
    assert np.array_equal(first.tokens[0], second.tokens[0])
    assert first.reconstruction.equals(second.reconstruction)
    assert after.ema_counts is None  # unknown before, unknown after
    assert after.training["converted"]["sha256"] == before.sha256


def test_settings_given_by_the_user_are_kept(foreign: Path, tmp_path: Path):
    out = tmp_path / "native.safetensors"
    assert run(["convert", str(foreign), str(out), "--activation", "silu", "--dilation-growth-rate", "2"]) == 0
    config = load_checkpoint(out).config
    assert (config.activation, config.dilation_growth_rate) == ("silu", 2)


def test_codebooks_alone_are_refused(tmp_path: Path):
    torch.save({"layers.0.codebook": torch.randn(4, 3)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="codebooks only"):
        convert(load_checkpoint(tmp_path / "x.pt"), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_another_file_is_not_written_over_and_an_earlier_conversion_is(foreign: Path, tmp_path: Path, capsys):
    out = tmp_path / "native.safetensors"
    assert run(["convert", str(foreign), str(out), "--activation", "silu"]) == 0
    assert run(["convert", str(foreign), str(out)]) == 0
    assert load_checkpoint(out).config.activation == "relu"
    capsys.readouterr()
    torch.save({"net": torch.load(foreign)["net"] | {"more": torch.zeros(1)}}, tmp_path / "other.pth")
    for content in (out.read_bytes(), b"a text"):
        out.write_bytes(content)
        assert run(["convert", str(tmp_path / "other.pth"), str(out)]) == 2
        told = capsys.readouterr().err
        assert "expected a new file, or this checkpoint as it was converted before, found another file" in told
        assert out.read_bytes() == content


def test_another_ending_and_the_file_itself_are_refused(foreign: Path, tmp_path: Path, capsys):
    assert run(["convert", str(foreign), str(tmp_path / "out.pth")]) == 2
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err
    out = tmp_path / "native.safetensors"
    convert(load_checkpoint(foreign), out)
    with pytest.raises(CheckpointError, match="the checkpoint itself"):
        convert(load_checkpoint(out), out)


def test_a_native_file_is_copied_as_it_is(foreign: Path, tmp_path: Path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    convert(load_checkpoint(foreign), first)
    convert(load_checkpoint(first), second)
    assert second.read_bytes() == first.read_bytes()
