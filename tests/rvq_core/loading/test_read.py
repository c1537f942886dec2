"""Reading bytes: which file of a folder, what archives are refused, how what torch says is told."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rvq_core.errors import CheckpointError
from rvq_core.loading.read import FOLDER_FILES, read_file, read_object


def saved(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def refused(path: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as told:
        read_file(path)
    return told.value


def test_a_folder_s_files_are_looked_for_in_their_order(tmp_path: Path):
    for number, name in enumerate(reversed(FOLDER_FILES)):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith("safetensors"):
            save_file({"number": torch.tensor(number)}, file)
        else:
            saved(file, {"number": torch.tensor(number)})
        raw = read_file(tmp_path)
        assert (raw.path, int(raw.content["number"])) == (file, number)
        assert raw.name == tmp_path.name and raw.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".tar", ".ckpt", ".bin", ".pt"])
def test_a_folder_with_one_checkpoint_of_any_name(tmp_path: Path, ending: str):
    file = saved(tmp_path / f"mine{ending}", {"a": 1})
    (tmp_path / "log.txt").write_text("of no use")
    (tmp_path / f".half-written{ending}").write_text("of no use")
    (tmp_path / f"folder{ending}").mkdir()
    assert read_file(tmp_path).path == file


def test_a_folder_with_several_or_none_names_some(tmp_path: Path):
    assert refused(tmp_path).found == "no weights file"
    for number in range(8):
        saved(tmp_path / f"{number}.pt", {})
        if number:
            more = f" and {number - 5} more" * (number > 5)
            assert refused(tmp_path).found == ", ".join(f"{n}.pt" for n in range(min(number + 1, 6))) + more


@pytest.mark.parametrize("inside", ["checkpoints", "model"])
def test_a_folder_s_one_checkpoint_may_lie_one_level_down(tmp_path: Path, inside: str):
    run = tmp_path / "run"
    file = saved(run / inside / "epoch=99.ckpt", {"a": 1})
    saved(run / "elsewhere" / "other.ckpt", {})
    (run / inside / "log.txt").write_text("of no use")
    raw = read_file(run)
    assert (raw.path, raw.name) == (file, "run")
    saved(run / inside / "last.ckpt", {})
    told = refused(run)
    assert told.found == f"{inside}/epoch=99.ckpt, {inside}/last.ckpt" and told.do == "name the file inside it"
    own = saved(run / "mine.pth", {})
    assert read_file(run).path == own


def test_two_folders_inside_with_a_checkpoint_each_are_not_chosen_between(tmp_path: Path):
    for inside in ("model", "checkpoints"):
        saved(tmp_path / inside / "a.ckpt", {})
    assert refused(tmp_path).found == "checkpoints/a.ckpt, model/a.ckpt"


@pytest.mark.parametrize(("file", "name"), [("net.pth", "net"), ("net.pth.tar", "net"), ("a.b.pt", "a.b"), ("x", "x")])
def test_a_file_s_endings_are_no_part_of_its_name(tmp_path: Path, file: str, name: str):
    assert read_file(saved(tmp_path / file, {})).name == name


def test_what_is_there_and_what_is_not(tmp_path: Path):
    assert refused(tmp_path / "none.pt").found == "nothing there"
    (tmp_path / "run/net_last.pth").mkdir(parents=True)
    assert refused(tmp_path / "run").found == "no weights file"


@pytest.mark.parametrize("legacy", [False, True])
def test_any_object_that_torch_saved(tmp_path: Path, legacy: bool):
    torch.save([1, torch.ones(2)], tmp_path / "list.pt", _use_new_zipfile_serialization=not legacy)
    number, tensor = read_object(tmp_path / "list.pt")
    assert number == 1 and torch.equal(tensor, torch.ones(2))


def test_tensors_of_safetensors_as_an_object(tmp_path: Path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"told": "here"})
    assert torch.equal(read_object(tmp_path / "a.safetensors")["a"], torch.ones(2))
    assert read_file(tmp_path / "a.safetensors").metadata == {"told": "here"}
    with pytest.raises(CheckpointError, match="expected a readable file, found No such file"):
        read_object(tmp_path / "b.safetensors")


@pytest.mark.parametrize(("times", "bomb"), [(3.9, False), (4.1, True)])
def test_archives_unpack_to_four_times_their_size_and_a_megabyte(tmp_path: Path, times: float, bomb: bool):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", np.random.default_rng(0).bytes(400_000))
        archive.writestr("archive/data/1", bytes(round((times - 1) * 400_000) + 2**20))
    assert ("unpacks to at most 4 times" in refused(tmp_path / "x.pt").expected) == bomb


@pytest.mark.parametrize("before", [0, 2**20 - 5, 2**20])
def test_a_bytearray_across_blocks_is_found(tmp_path: Path, before: int):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"0" * before + b"cbuiltins\nbytearray\nK\x05\x85R.")
        archive.writestr("archive/version", "3\n")
    assert refused(tmp_path / "x.pt").found == "an object of type bytearray, which could run code"


@pytest.mark.parametrize(
    ("opcodes", "found"),
    [
        (b"cposix\nsystem\nX\x01\x00\x00\x00a\x85R.", "an object of type posix.system, which could run code"),
        (b"cshutil\nrmtree\n.", "an object of type shutil.rmtree, which could run code"),
        (b"cmy types\nT" + b"y" * 300 + b"\n.", f"an object of type my types.T{'y' * 190}, which could run code"),
        (b"\xff.", "a pickle that torch will not open safely"),
    ],
)  # fmt: skip
def test_what_could_run_code_is_named(tmp_path: Path, opcodes: bytes, found: str):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes)
        archive.writestr("archive/version", "3\n")
    told = refused(tmp_path / "x.pt")
    assert told.found == found and "weights_only" not in str(told)


@pytest.mark.parametrize(
    ("said", "told"), [("\n  one line \n another", "one line"), ("x" * 300, "x" * 200), (" \n", "RuntimeError")]
)
def test_what_torch_says_is_told_in_one_line(tmp_path: Path, monkeypatch, said: str, told: str):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "load", fail)
    assert refused(saved(tmp_path / "x.pt", {})).found == f"a damaged one ({told})"
