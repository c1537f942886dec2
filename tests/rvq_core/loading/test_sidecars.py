"""What lies beside a checkpoint may be anyone's: it is used where it fits, and never in the way."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import published
import pytest
import torch

from rvq_core import load_checkpoint
from rvq_core.loading.sidecars import Options, files_beside, find_normalizer, find_options

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


def given(path: Path, text: str, name: str = "opt.txt") -> Options:
    (path.parent / name).write_text(text)
    found = find_options(path)
    (path.parent / name).unlink()
    return found


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("3", 3), ("1e3", 1000), ("2.0", 2.0), ("1e-3", 0.001), ("-4", -4), ("999999999", 999_999_999),
        ("relu", "relu"), ("None", None), ("null", None), ("True", True), ("False", False),
        ("x" * 79, "x" * 79), (" a: b ", "a: b"),
    ],
)  # fmt: skip
def test_words_of_an_options_file_are_read_as_they_were_meant(path: Path, written: str, meant: object):
    values = given(path, f"---- Options: all ----\nmu: {written}\nno colon\nunknown: 5\n---- End ----\n").values
    assert values == {"mu": meant} and type(values["mu"]) is type(meant)


@pytest.mark.parametrize("written", ["1000000000", "-1e9", "inf", "nan", "x" * 80])
def test_what_no_setting_is_as_large_as(path: Path, written: str):
    assert given(path, f"mu: {written}\n") == Options()
    assert Options().file == ""


def test_options_in_a_log_and_in_json(path: Path):
    log = 'INFO 10:00 {"vq_act": "silu", "body_part": "upper"} and on {"mu": 1}\n'
    assert given(path, log, "run.log").values == {"activation": "silu", "body_part": "upper"}
    assert given(path, "no braces", "run.log") == Options()
    found = given(path, json.dumps({"norm": None, "mu": 0.5, "dataset_name": "t2m"}), "config.json")
    assert (found.values, found.file) == ({"norm": None, "mu": 0.5, "dataset": "t2m"}, "config.json")
    assert given(path, "[1, 2]", "config.json") == Options()


def test_the_nearest_options_are_taken(path: Path):
    above, beside = path.parent.parent, path.parent
    for number, file in enumerate(
        (above / "b.yml", above / "a.yaml", above / "opt.txt", beside / "a.yaml", beside / "config.json",
         beside / "run.log", beside / "opt.txt")
    ):  # fmt: skip
        file.write_text(f"mu: {number}\n" if file.suffix != ".log" else f'x {{"mu": {number}}}')
        if file.suffix == ".json":
            file.write_text(f'{{"mu": {number}}}')
        assert find_options(path) == Options({"mu": number}, file)


def test_long_files_are_not_read_but_the_beginning_of_a_log(path: Path):
    assert given(path, "mu: 1\n".ljust(2**18)).values == {"mu": 1}
    assert given(path, "mu: 1\n".ljust(2**18 + 1)) == Options()
    assert given(path, '{"mu": 1}'.ljust(2**18 + 1), "run.log").values == {"mu": 1}
    assert given(path, " " * 2**18 + '{"mu": 1}', "run.log") == Options()


def statistics(folder: Path, mean: np.ndarray, std: np.ndarray, names: tuple[str, str] = ("mean", "std")) -> None:
    folder.mkdir(exist_ok=True)
    for name, values in zip(names, (mean, std), strict=True):
        np.save(folder / f"{name}.npy", values)


@pytest.mark.parametrize("names", [("mean", "std"), ("Mean", "Std"), ("x_330_mean", "x_330_std"), ("aMean", "aStd")])
@pytest.mark.parametrize("where", ["meta", "mean_std", "."])
def test_mean_and_std_by_all_names_in_all_places(path: Path, names: tuple[str, str], where: str):
    mean, std = np.arange(3.0), np.array([0.0, 0.25, 2.0])
    for above in (path.parent, path.parent.parent, path.parent.parent.parent):
        statistics(above / where, mean, std, names)
        normalizer, folder = find_normalizer(path, 3)
        assert normalizer.mean.tolist() == mean.tolist() and normalizer.std.tolist() == std.tolist()
        assert folder == (above / where).absolute()
        assert find_normalizer(path, 2) is None and find_normalizer(path, 4) is None
        (folder / f"{names[1]}.npy").unlink()
        assert find_normalizer(path, 3) is None


def test_columns_of_a_body_part_are_picked_from_the_whole_body(path: Path):
    columns = torch.tensor([1, 3, 5])
    for length, picked in ((6, [1, 3, 5]), (7, [1, 3, 5]), (3, [0, 1, 2]), (5, None)):
        statistics(path.parent, np.arange(float(length)), np.ones(length))
        found = find_normalizer(path, 3, columns)
        assert (None if found is None else found[0].mean.tolist()) == picked


def test_how_long_a_mean_may_be(path: Path):
    for length, fits in ((1, True), (2**16, True), (2**16 + 1, False), (0, False)):
        statistics(path.parent, np.zeros(length), np.ones(length))
        assert (find_normalizer(path, length) is not None) == fits


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_beside_a_checkpoint_are_not_opened(path: Path):
    marker = path.parent / "it_ran"
    (path.parent / "mean.npy").write_bytes(pickle.dumps(Touch(marker)))
    statistics(path.parent, np.array([Touch(marker)], dtype=object), np.ones(1), ("Mean", "Std"))
    assert find_normalizer(path, 1) is None and not marker.exists()
