"""What is damaged: a small whole file of every kind that a user can bring, and what reads it."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import motion_files
import numpy as np
import published
import torch

from dashboard.export.sources import figures_of
from rvq_core import RVQVAE, Report, RVQVAEConfig, analyze, load_checkpoint, load_clips
from rvq_core.check import read_limits
from rvq_core.clips import Clip
from rvq_core.clips.bones import read_bone_map
from rvq_core.clips.groups import read_groups
from rvq_core.clips.representations import UNDECODED
from rvq_core.clips.split import read_split
from rvq_core.compare import Comparison, compare
from rvq_core.inspection import describe, inspect
from rvq_core.loading import Checkpoint, Normalizer
from rvq_core.loading.formats.native import NativeHeader, save_native
from rvq_core.training.settings import TrainSettings, read_settings

LARGEST = 1000
"""Columns and frames from which on a file is only read: what follows takes as long as it must."""

Write = Callable[[Path], object]
Read = Callable[[Path], object]


class Target(NamedTuple):
    """A kind of file: ``write`` fills an empty folder, ``damaged`` are those of its files that are damaged in turn.

    ``read`` gets the path of ``opened``, a file in the folder, or the folder itself where it is empty.
    """

    name: str
    write: Write
    damaged: tuple[str, ...]
    opened: str
    read: Read


def native(folder: Path, dim: int = 12) -> None:
    config = RVQVAEConfig(input_dim=dim, width=8, code_dim=4, nb_code=16, num_quantizers=2, depth=1)
    model = RVQVAE(config)
    for layer in model.quantizer.ema_layers():
        layer.codebook.copy_(torch.randn(16, 4))
        layer.init.fill_(True)
    training = {"train_clips": ["a"], "history": [{"iteration": 1, "perplexity": [3.0, 2.0]}], "settings": {"seed": 1}}
    header = NativeHeader(config, None, 30.0, training)
    save_native(folder / "a.safetensors", model, Normalizer(torch.zeros(dim), torch.ones(dim)), header)


def momask(folder: Path) -> None:
    state = published.with_layers(published.family_state(), published.codebooks())
    torch.save({"vq_model": state, "ep": 3}, folder / "latest.tar")
    (folder / "opt.txt").write_text(
        "------------ Options\nvq_act: relu\nvq_norm: None\ndilation_growth_rate: 3\nmu: 0.99\n"
    )
    np.save(folder / "mean.npy", np.zeros(12, np.float32))
    np.save(folder / "std.npy", np.ones(12, np.float32))


def older_pickle(folder: Path) -> None:
    state = published.with_layers(published.family_state(), published.codebooks())
    torch.save({"net": state}, folder / "net.pth", _use_new_zipfile_serialization=False)


def single(folder: Path) -> None:
    state = published.family_state() | {"quantizer.codebook": torch.randn(10, 6)}
    torch.save({"net": state}, folder / "net_last.pth")


def lucidrains(folder: Path) -> None:
    state: dict[str, torch.Tensor] = {}
    for q, book in enumerate(published.codebooks()):
        prefix = f"layers.{q}._codebook"
        state |= {f"{prefix}.embed": book[None], f"{prefix}.cluster_size": torch.ones(1, 10)}
        state |= {f"{prefix}.embed_avg": book[None], f"{prefix}.initted": torch.ones(1)}
    torch.save(state, folder / "rvq.pt")


def npz(folder: Path) -> None:
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.3, (12, 165)).astype(np.float32)
    np.savez(folder / "a.npz", poses=poses, trans=np.zeros((12, 3)), mocap_frame_rate=30)


def features(folder: Path) -> None:
    np.save(folder / "a.npy", np.random.default_rng(0).normal(size=(20, 263)).astype(np.float32))


def indices(folder: Path) -> None:
    np.save(folder / "a.npy", np.arange(24).reshape(12, 2))


def tensor(folder: Path) -> None:
    torch.save({"features": torch.randn(20, 12)}, folder / "a.pt")


def bvh(folder: Path) -> None:
    (folder / "a.bvh").write_text(motion_files.Source(6).text())


def amc(folder: Path) -> None:
    (folder / "a.asf").write_text(motion_files.asf_text())
    (folder / "a.amc").write_text(motion_files.amc_text(({}, {"lfemur": [10, 0, 0]}) * 8))


def deepmimic(folder: Path) -> None:
    frames = [motion_files.deepmimic_frame() for _ in range(6)]
    (folder / "a.txt").write_text(json.dumps({"Loop": "wrap", "Frames": frames}))


def made_report() -> Report:
    rng = np.random.default_rng(0)
    clips = [Clip(f"c{i}", 30.0, rng.normal(size=(20, 12)).astype(np.float32), "raw") for i in range(6)]
    return analyze(load_checkpoint(model_of(12)), clips)


def report(folder: Path) -> None:
    moved(made_report().save(folder / "r"), folder)


def comparison(folder: Path) -> None:
    moved(compare([made_report(), made_report()], names=("a", "b")).save(folder / "r"), folder)


def moved(source: Path, folder: Path) -> None:
    for path in source.iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(source)


def written(name: str, text: str) -> Write:
    return lambda folder: (folder / name).write_text(text)


def open_checkpoint(path: Path) -> Checkpoint:
    """What the commands and pages do with a checkpoint that opens: tell its facts, run motion through it."""
    ckpt = load_checkpoint(path)
    describe(inspect(ckpt))
    dim = LARGEST if ckpt.config is None else ckpt.config.input_dim
    if ckpt.model is not None and dim < LARGEST:
        frames = np.random.default_rng(0).normal(size=(32, dim)).astype(np.float32)
        analyze(ckpt, [Clip("a", ckpt.fps or 30.0, frames, ckpt.representation or "raw")])
    return ckpt


def open_clips(path: Path) -> list[Clip]:
    """What is done with a clip that opens: run it through a model of its width."""
    clips = load_clips(path)
    dim, frames = clips[0].features.shape[1], max(clip.frames for clip in clips)
    if clips[0].representation not in UNDECODED and dim < LARGEST and frames < LARGEST:
        analyze(load_checkpoint(model_of(dim)), clips)
    return clips


@cache
def model_of(dim: int) -> Path:
    """A small model of motion with so many columns, which says nothing on their meaning."""
    folder = Path(tempfile.mkdtemp(prefix="rvq-lens-fuzz-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    native(folder, dim)
    return folder / "a.safetensors"


def open_source(kind: type[Report | Comparison], path: Path) -> None:
    """What a notebook, a page and an export do with a report or a comparison that opens."""
    found = kind.load(path)
    found._repr_html_()
    for entry, table in figures_of(found):
        entry.draw(table, found)


REPORT_FILES = ("report.json", "layers.parquet", "codes.parquet", "clips.parquet", "clip_errors.parquet", "tokens.npz")
COMPARISON_FILES = ("report.json", "metrics.parquet", "curves.parquet")

TARGETS = (
    Target("native checkpoint", native, ("a.safetensors",), "a.safetensors", open_checkpoint),
    Target("checkpoint, torch archive", momask, ("latest.tar",), "latest.tar", open_checkpoint),
    Target("options, mean and std", momask, ("opt.txt", "mean.npy", "std.npy"), "latest.tar", open_checkpoint),
    Target("checkpoint, older torch", older_pickle, ("net.pth",), "net.pth", open_checkpoint),
    Target("checkpoint, one quantizer", single, ("net_last.pth",), "net_last.pth", open_checkpoint),
    Target("checkpoint, lucidrains", lucidrains, ("rvq.pt",), "rvq.pt", open_checkpoint),
    Target("clip .npz", npz, ("a.npz",), "a.npz", open_clips),
    Target("clip .npy", features, ("a.npy",), "a.npy", open_clips),
    Target("indices .npy", indices, ("a.npy",), "a.npy", open_clips),
    Target("clip .pt", tensor, ("a.pt",), "a.pt", open_clips),
    Target("clip .bvh", bvh, ("a.bvh",), "a.bvh", open_clips),
    Target("clip .amc, .asf", amc, ("a.amc", "a.asf"), "a.amc", open_clips),
    Target("clip .txt (DeepMimic)", deepmimic, ("a.txt",), "a.txt", open_clips),
    Target("report", report, REPORT_FILES, "", partial(open_source, Report)),
    Target("comparison", comparison, COMPARISON_FILES, "", partial(open_source, Comparison)),
    Target("groups .csv", written("g.csv", 'clip,group\na,walk\n"b",run\n'), ("g.csv",), "g.csv", read_groups),
    Target("split .txt", written("s.txt", "a\nb\nM000001\n"), ("s.txt",), "s.txt", read_split),
    Target("bone map .toml", written("b.toml", 'left_hip = "Left"\nhead = ""\n'), ("b.toml",), "b.toml", read_bone_map),
    Target("bone map .json", written("b.json", '{"left_hip": "LeftUpLeg"}'), ("b.json",), "b.json", read_bone_map),
    Target(
        "limits .toml", written("l.toml", "max_unseen = 0.5\nmin_perplexity_ratio = 0.1\n"), ("l.toml",), "l.toml",
        read_limits,
    ),
    Target(
        "training .toml", written("t.toml", "iterations = 10\nbatch_size = 4\nlearning_rate = 1e-4\n"), ("t.toml",),
        "t.toml", lambda path: read_settings(path, TrainSettings()),
    ),
)  # fmt: skip
"""Every reader, each with a file that it reads when nothing is damaged."""
