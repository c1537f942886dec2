"""Files that mean harm, or that nobody meant: each a Checkpoint or one line, soon and in little memory."""

import os
import zipfile
from pathlib import Path

import numpy as np
import published
import pytest
import torch

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError


def whole() -> dict:
    return published.with_layers(published.family_state(), published.codebooks())


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def line(path: Path) -> str:
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(path)
    assert "\n" not in str(told.value) and len(str(told.value)) < 1500
    return str(told.value)


ODD = {
    "sparse": lambda: torch.randn(10, 6).to_sparse(),
    "meta": lambda: torch.empty(10, 6, device="meta"),
    "huge meta": lambda: torch.empty(10**9, 10**6, device="meta"),
    "a view of one number": lambda: torch.zeros(1).expand(10**6, 10**6),
    "integers": lambda: torch.ones(10, 6, dtype=torch.int64),
    "complex": lambda: torch.ones(10, 6, dtype=torch.complex64),
    "no codes": lambda: torch.zeros(0, 6),
    "one number": lambda: torch.zeros(()),
    "beyond float32": lambda: torch.full((10, 6), 1e300, dtype=torch.float64),
}


@pytest.mark.parametrize("kind", ODD)
def test_codebooks_that_are_no_arrays_of_floats(tmp_path: Path, kind: str):
    content = {"net": whole() | {"quantizer.layers.1.codebook": ODD[kind]()}}
    assert "quantizer.layers.1.codebook" in line(saved(tmp_path / "net.pth", content))


@pytest.mark.parametrize("kind", ODD)
def test_embeddings_that_are_no_arrays_of_floats(tmp_path: Path, kind: str):
    state = {f"layers.{q}._codebook.embed": book[None] for q, book in enumerate(published.codebooks())}
    assert "_codebook.embed" in line(saved(tmp_path / "rvq.pt", state | {"layers.1._codebook.embed": ODD[kind]()}))


@pytest.mark.parametrize("name", ["cluster_size", "embed_avg", "initted"])
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 10), (1, 1, 1, 1)])
def test_ema_state_of_another_shape(tmp_path: Path, name: str, shape: tuple):
    state = {"_codebook.embed": torch.randn(1, 10, 6), "_codebook.cluster_size": torch.ones(1, 10)}
    path = saved(tmp_path / "vq.pt", state | {f"_codebook.{name}": torch.ones(shape)})
    if name == "initted":
        load_checkpoint(path)
    else:
        line(path)


def pickled(path: Path, opcodes: bytes) -> Path:
    """An archive as torch.save writes it, around a pickle made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes)
        archive.writestr("archive/version", "3\n")
    return path


def test_a_number_that_would_become_gigabytes(tmp_path: Path):
    path = pickled(tmp_path / "big.pt", b"cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.")
    assert "an object of type bytearray" in line(path)


@pytest.mark.parametrize("name", ["builtins\nlist", "argparse\nNamespace", "numpy\ndtype", "collections\ndefaultdict"])
def test_types_that_are_let_in_are_never_made(tmp_path: Path, name: str):
    # Called with a range of 2 ** 31 numbers, list would fill the memory.
    line(pickled(tmp_path / "call.pt", b"c" + name.encode() + b"\nJ\x00\x00\x00\x7f\x85R."))


def test_a_dictionary_whose_methods_are_taken_away(tmp_path: Path):
    attributes = b"}X\x05\x00\x00\x00itemsK\x01sX\x03\x00\x00\x00getK\x01sX\x04\x00\x00\x00keysK\x01s"
    assert "tensors" in line(pickled(tmp_path / "odd.pt", b"ccollections\nOrderedDict\n)R" + attributes + b"b."))


def test_nesting_without_end(tmp_path: Path):
    line(pickled(tmp_path / "deep.pt", b"}" + b"\x85" * 200_000 + b"."))
    line(pickled(tmp_path / "self.pt", b"}q\x00X\x03\x00\x00\x00neth\x00s."))


def test_programs_are_not_opened(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/constants.pkl", b"\x80\x02).")
    assert "TorchScript" in line(tmp_path / "script.pt")


def test_what_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in line(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    line(tmp_path / "loop")


def test_keys_that_no_model_has_are_left_aside(tmp_path: Path):
    odd = {"\x1b[31mred": torch.ones(1), "\ud800": torch.ones(1), "x" * 10**6: torch.ones(1), 5: torch.ones(1)}
    path = saved(tmp_path / "net.pth", {"net": whole() | odd, (1, 2): 3})
    assert load_checkpoint(path).format == "syntalker"


def test_layers_without_end(tmp_path: Path):
    state = {f"layers.{q}.codebook": torch.zeros(1, 1) for q in range(3000)}
    assert "at most 1024" in line(saved(tmp_path / "many.pt", state))
    assert "layers.1.codebook" in line(
        saved(tmp_path / "far.pt", {f"layers.{q}.codebook": torch.ones(1, 1) for q in (0, 999_999)})
    )


def test_bytes_changed_anywhere(tmp_path: Path):
    """A few hundred damaged copies: nothing but a Checkpoint or CheckpointError comes of them."""
    random = np.random.default_rng(0)
    for legacy in (False, True):
        torch.save({"net": whole()}, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
        content = np.frombuffer((tmp_path / "net.pth").read_bytes(), dtype=np.uint8)
        for _ in range(100):
            damaged = content.copy()
            damaged[random.integers(0, min(len(content), 4000), size=3)] = random.integers(0, 256, size=3)
            (tmp_path / "damaged.pth").write_bytes(damaged.tobytes())
            try:
                load_checkpoint(tmp_path / "damaged.pth")
            except CheckpointError as error:
                assert "\n" not in str(error)
