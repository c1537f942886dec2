"""What lies beside a checkpoint may be anyone's: it is used where it fits, and never in the way."""

import os
from pathlib import Path

import numpy as np
import published
import pytest
import torch

from rvq_core import load_checkpoint
from rvq_core.loading.sidecars import files_beside, find_normalizer, find_options

DIM = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    state = published.with_layers(published.family_state(), published.codebooks())
    file = tmp_path / "run/model/latest.tar"
    file.parent.mkdir(parents=True)
    torch.save({"vq_model": state}, file)
    return file


def test_settings_of_another_model_are_told_and_left_aside(path: Path):
    (path.parent / "opt.txt").write_text("activation: swish\ndilation_growth_rate: 2\nmu: 7\n")
    ckpt = load_checkpoint(path)
    assert (ckpt.config.activation, ckpt.config.dilation_growth_rate, ckpt.config.mu) == ("relu", 2, 0.99)
    notes = " | ".join(ckpt.notes)
    assert "activation = 'swish' in opt.txt is left aside: relu or silu or gelu expected" in notes
    assert "activation = relu assumed" in notes and "from opt.txt: dilation_growth_rate = 2" in notes
    assert load_checkpoint(path, activation="silu").config.activation == "silu"


def test_what_the_user_gives_is_no_longer_assumed(path: Path):
    notes = load_checkpoint(path, activation="silu").notes
    assert [note for note in notes if "activation" in note] == ["activation = silu, given by the user"]
    assert any("dilation_growth_rate = 3 assumed" in note for note in notes)


def test_a_checkpoint_named_from_its_own_folder(path: Path, monkeypatch):
    (path.parent.parent / "opt.txt").write_text("vq_act: gelu\n")
    (path.parent.parent / "meta").mkdir()
    for name in ("mean", "std"):
        np.save(path.parent.parent / f"meta/{name}.npy", np.ones(DIM))
    monkeypatch.chdir(path.parent)
    ckpt = load_checkpoint("latest.tar")
    assert ckpt.config.activation == "gelu" and ckpt.normalizer is not None


def unfolding(levels: int, merge: str) -> str:
    last = [f"a{i}: &a{i} {{{merge}[{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, levels)]
    return "\n".join(["a0: &a0 {activation: silu}", *last, f"{merge}*a{levels - 1}"])


@pytest.mark.parametrize(
    "text",
    [
        unfolding(10, "<<: "), unfolding(10, "activation: "), "[" * 50_000,
        "activation: !!bool silu", "activation: !!int ''",
        "mu: 0x" + "f" * 20_000, "activation: " + "x" * 10_000, "activation: [silu]", "mu: .nan", "- 1", "",
        "mu: !!timestamp no", "? {a: 1}\n: 2", "!!python/object/apply:os.system ['touch it_ran']",
    ],
)  # fmt: skip
def test_yaml_that_tells_nothing(path: Path, text: str, monkeypatch):
    monkeypatch.chdir(path.parent)
    (path.parent / "config.yaml").write_text(text)
    ckpt = load_checkpoint(path)
    assert (ckpt.config.activation, ckpt.config.mu) == ("relu", 0.99)
    assert max(map(len, ckpt.notes)) < 300
    assert not (path.parent / "it_ran").exists()


def test_options_in_yaml_and_in_its_params(path: Path):
    (path.parent / "vq.yaml").write_text("target: x\nparams:\n  activation: gelu\n  norm: None\n")
    assert find_options(path).values == {"activation": "gelu", "norm": None}


@pytest.mark.parametrize(
    "values",
    [
        np.full(DIM, np.nan), np.full(DIM, -1.0), np.full(DIM, 1e300),
        np.ones(DIM, dtype=int), np.ones((DIM, 1)), np.ones(5),
    ],
)  # fmt: skip
def test_statistics_that_are_none(path: Path, values: np.ndarray):
    np.save(path.parent / "mean.npy", np.zeros(DIM))
    np.save(path.parent / "std.npy", values)
    assert find_normalizer(path, DIM) is None


def test_pipes_and_endless_files_beside_a_checkpoint(path: Path):
    os.mkfifo(path.parent / "mean.npy")
    os.mkfifo(path.parent / "opt.txt")
    np.save(path.parent / "Mean.npy", np.zeros(1))
    with (path.parent / "Mean.npy").open("r+b") as file:
        header = file.read().replace(b"'shape': (1,), }          ", b"'shape': (9000000000,), } ")
        file.seek(0)
        file.write(header[:128])
        file.truncate(128 + 8 * 9_000_000_000)
    assert load_checkpoint(path).normalizer is None


def test_all_files_that_are_read_beside_a_checkpoint_are_named(path: Path):
    folders = {"meta": path.parent.parent / "meta", "run": path.parent}
    folders["meta"].mkdir()
    for name in ("mean", "std"):
        np.save(folders["meta"] / f"{name}.npy", np.ones(DIM, np.float32))
    (path.parent / "opt.txt").write_text("activation: silu\n")
    (path.parent.parent / "more.yaml").write_text("norm: LN\n")
    (path.parent / "notes.txt").write_text("of no use\n")
    named = {file.relative_to(path.parent.parent).as_posix() for file in files_beside(path)}
    assert named == {"model/opt.txt", "more.yaml", "meta/mean.npy", "meta/std.npy"}
