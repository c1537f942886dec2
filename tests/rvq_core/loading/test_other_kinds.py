"""Files of other kinds given as a checkpoint: each is told by what it is, whatever its name."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

from rvq_core.errors import CheckpointError
from rvq_core.loading import load_checkpoint


def array() -> bytes:
    held = io.BytesIO()
    np.save(held, np.zeros((4, 263), np.float32))
    return held.getvalue()


def table() -> bytes:
    held = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_parquet(held)
    return held.getvalue()


def packed(**entries: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return held.getvalue()


def tarred() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return held.getvalue()


CLIP = "give it after the checkpoint, as in: rvq-lens analyze CKPT x.pth --out DIR"
UNPACK = "unpack it, and name the checkpoint that it holds"
WEIGHTS = "name the file of the weights (.safetensors, .pth, .pt, .tar, .ckpt or .bin)"
KINDS = {
    "npy": (array(), "an .npy file, a single array", "give motion after the checkpoint, mean and std with --mean"),
    "bvh": (b"\xef\xbb\xbf\r\nHIERARCHY\nROOT Hips\n{\n", "motion (BVH)", CLIP),
    "amc": (b"#!OML:ASF H:\\x.ASF\n:FULLY-SPECIFIED\n", "motion (AMC)", CLIP),
    "deepmimic": (b'{\n"Loop": "wrap",\n"Frames":\n[[0.03', "motion (DeepMimic)", CLIP),
    "parquet": (table(), "a table (Parquet)", WEIGHTS),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 file", "save the weights with torch.save"),
    "gzip": (gzip.compress(b"weights"), "a compressed file (gzip)", UNPACK),
    "tar": (tarred(), "an archive (tar)", UNPACK),
    "zip": (packed(net=b"weights", log=b""), "a ZIP archive (net, log)", UNPACK),
    "empty zip": (packed(), "a ZIP archive (empty)", UNPACK),
    "json": (b'{"a": 1}', "a JSON text", WEIGHTS),
    "json whose ninth byte is a bracket": (b'{"aaaa":{"b": 1}}', "a JSON text", WEIGHTS),
    "csv": (b"clip,group\nwalk,calm\n", "a text that begins with 'clip,group'", WEIGHTS),
    "long text": ("é".encode() * 400, f"a text that begins with '{'é' * 40}…'", WEIGHTS),
    "text cut within a character": (("a" + "é" * 400).encode(), f"a text that begins with 'a{'é' * 39}…'", WEIGHTS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_is_is_told(tmp_path, kind):
    content, found, do = KINDS[kind]
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError) as told:
        load_checkpoint(tmp_path / "x.pth")
    assert (told.value.expected, told.value.found) == ("a checkpoint", found)
    assert told.value.do.startswith(do)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_arrays_of_an_archive_are_named(tmp_path, save):
    save(tmp_path / "walk.npz", poses=np.zeros((1000, 165)), trans=np.zeros((1000, 3)))
    with pytest.raises(
        CheckpointError, match=r"found an \.npz of motion \(poses, trans\); .* CKPT walk\.npz --out DIR"
    ):
        load_checkpoint(tmp_path / "walk.npz")
    save(tmp_path / "many.npz", **{f"a{number}": np.zeros(2) for number in range(9)})
    with pytest.raises(CheckpointError, match=r"an \.npz of arrays \(a0, a1, a2, a3, a4, a5 and 3 more\)"):
        load_checkpoint(tmp_path / "many.npz")


@pytest.mark.parametrize("content", [b" \n\t" * 50, b"\xff" * 600, b"text" + b"\0" * 600, b"a" * 300 + b"\xff" * 300])
def test_what_is_none_of_them_is_called_neither(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match="found a file that is neither"):
        load_checkpoint(tmp_path / "x.pth")


def test_a_motion_that_torch_saved_is_no_such_file(tmp_path):
    torch.save({"poses": torch.zeros(3, 165)}, tmp_path / "x.npz")
    with pytest.raises(
        CheckpointError, match=r"expected a checkpoint of a known format \(.* found 1 tensors? such as poses"
    ):
        load_checkpoint(tmp_path / "x.npz")
