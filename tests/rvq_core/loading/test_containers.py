"""What a checkpoint lies in and beside: archives, pickles, options; nothing in them runs."""

import argparse
from pathlib import Path

import numpy as np
import published
import pytest
import torch
import torch.nn.functional as F
from published import with_layers
from published_checks import DIM, check, prefixed, saved

from rvq_core import load_checkpoint
from rvq_core.errors import CheckpointError


def test_options_beside_the_file(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "run/model/latest.tar", {"vq_model": with_layers(state, books)})
    (tmp_path / "run/opt.txt").write_text(
        "------------ Options -------------\ndilation_growth_rate: 2\nvq_act: silu\nvq_norm: None\nmu: 0.95\n"
        "output_emb_width: 512\n-------------- End ----------------\n"
    )
    ckpt = load_checkpoint(path)
    assert (ckpt.config.activation, ckpt.config.dilation_growth_rate, ckpt.config.mu) == ("silu", 2, 0.95)
    assert ckpt.config.code_dim == 6  # output_emb_width is ignored by the models
    x = torch.randn(1, 16, DIM)
    assert torch.allclose(ckpt.model.encode(x), published.encode(state, x, growth=2, act=F.silu), atol=1e-5)
    assert any("opt.txt" in note for note in ckpt.notes)


def test_assumptions_are_told_and_can_be_overridden(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "net.pth", {"net": with_layers(state, books)})
    notes = " ".join(load_checkpoint(path).notes)
    assert "activation = relu assumed" in notes and "dilation_growth_rate = 3 assumed" in notes
    ckpt = load_checkpoint(path, activation="gelu", dilation_growth_rate=1)
    x = torch.randn(1, 16, DIM)
    assert torch.allclose(ckpt.model.encode(x), published.encode(state, x, growth=1, act=F.gelu), atol=1e-5)


def test_statistics_in_momask_s_meta_folder(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    path = saved(tmp_path / "run/model/latest.tar", {"vq_model": with_layers(state, books)})
    (tmp_path / "run/meta").mkdir()
    mean, std = np.arange(DIM, dtype=np.float64), np.full(DIM, 2.0)
    np.save(tmp_path / "run/meta/mean.npy", mean)
    np.save(tmp_path / "run/meta/std.npy", std)
    ckpt = load_checkpoint(path)
    assert np.allclose(ckpt.normalizer.apply(np.ones((1, DIM))), (1 - mean) / 2)


@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_objects_beside_the_weights(tmp_path: Path, legacy: bool):
    state, books = published.family_state(), published.codebooks()
    content = {
        "net": with_layers(state, books),
        "args": argparse.Namespace(lr=1e-4, dims=[1, 2]),
        "best": np.float64(1.5),
        "step": np.int64(7),
    }
    path = tmp_path / "net.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    check(path, state, books, "syntalker")


def test_omegaconf_containers_need_no_omegaconf(tmp_path: Path):
    omegaconf = pytest.importorskip("omegaconf")
    state, books = published.family_state(), published.codebooks(1)
    config = omegaconf.OmegaConf.create({"model": {"nfeats": 263, "parts": [1, "two", None, 0.5, True]}})
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": {"cfg": config, "datamodule": None},
    }
    check(saved(tmp_path / "last.ckpt", content), state, books, "motiongpt")


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_never_runs(tmp_path: Path, legacy: bool):
    marker = tmp_path / "it_ran"
    path = tmp_path / "net.pth"
    content = {"net": with_layers(published.family_state(), published.codebooks()), "x": Bomb(str(marker))}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="could run code"):
        load_checkpoint(path)
    assert not marker.exists()


def test_a_plain_pickle_is_never_opened(tmp_path: Path):
    import pickle

    marker = tmp_path / "it_ran"
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Bomb(str(marker)), protocol=4))
    with pytest.raises(CheckpointError, match="never opened"):
        load_checkpoint(tmp_path / "x.pkl")
    assert not marker.exists()


def test_a_safetensors_header_of_any_length_is_no_pickle(tmp_path: Path):
    from safetensors.torch import save_file

    whole = with_layers(published.family_state(), published.codebooks())
    for padding in range(0, 256, 8):
        path = tmp_path / f"{padding}.safetensors"
        save_file(whole, path, metadata={"pad": "x" * padding})
        load_checkpoint(path)


def test_archives_that_unpack_to_far_more_are_refused(tmp_path: Path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 50_000_000)
    with pytest.raises(CheckpointError, match="unpacks to at most"):
        load_checkpoint(tmp_path / "bomb.pth")


def test_file_names_decide_nothing(tmp_path: Path):
    state, books = published.family_state(), published.codebooks()
    check(saved(tmp_path / "healthy.safetensors", {"net": with_layers(state, books)}), state, books, "syntalker")


@pytest.mark.parametrize("legacy", [False, True])
def test_what_lightning_leaves_in_a_checkpoint(tmp_path: Path, legacy: bool):
    from collections import Counter, defaultdict

    state, books = published.family_state(), published.codebooks(1)
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": argparse.Namespace(paths=[Path("a")], types=[int, dict], inner=argparse.Namespace()),
        "callbacks": {"best": np.float32(1), "flag": np.bool_(True), "history": np.arange(4.0), "kind": np.dtype("f4")},
        "lr_schedulers": [{"milestones": Counter([3, 3])}], "by_clip": defaultdict(list, {"a": [1]}),
    }  # fmt: skip
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=not legacy)
    check(tmp_path / "last.ckpt", state, books, "motiongpt")


def test_numpy_numbers_by_their_older_name(tmp_path: Path):
    import zipfile

    state, books = published.family_state(), published.codebooks()
    new = saved(tmp_path / "new.pth", {"net": with_layers(state, books), "best": np.float64(1.5)})
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(tmp_path / "old.pth", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    check(tmp_path / "old.pth", state, books, "syntalker")


def test_lightning_s_attribute_dictionaries(tmp_path: Path, monkeypatch):
    import sys
    import types

    module = types.ModuleType("lightning.fabric.utilities.data")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    parts = module.__name__.split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    state, books = published.family_state(), published.codebooks(1)
    content = {
        "state_dict": prefixed("vae.", state | {"quantizer.codebook": books[0]}),
        "hyper_parameters": module.AttributeDict(lr=1e-4, inner=module.AttributeDict(a=1)),
    }
    check(saved(tmp_path / "last.ckpt", content), state, books, "motiongpt")


def test_threads_open_files_at_the_same_time(tmp_path: Path):
    from concurrent.futures import ThreadPoolExecutor

    content = {"net": with_layers(published.family_state(), published.codebooks()), "args": argparse.Namespace(a=1)}
    path = saved(tmp_path / "net.pth", content)
    with ThreadPoolExecutor(8) as threads:
        assert {ckpt.format for ckpt in threads.map(load_checkpoint, [path] * 40)} == {"syntalker"}
