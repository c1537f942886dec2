"""Snapshots of a run: a folder of checkpoints with their iterations in their names, ours or anybody's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file
from torch import nn

from rvq_core.errors import CheckpointError
from rvq_core.files import written_whole

SNAPSHOTS = "snapshots"
"""The folder of them in a run folder."""

ENDINGS = (".safetensors", ".pt", ".pth", ".tar", ".ckpt", ".bin")

_NUMBER = re.compile(r"(\d+)\D*$")


class Snapshot(NamedTuple):
    """A checkpoint file and the iteration that it was written after."""

    iteration: int
    path: Path


def snapshots_of(folder: Path) -> list[Snapshot]:
    """The snapshots of a run folder, or the checkpoints of a folder that have numbers in their names, in their order.

    The number is the last one of a name: ``net_80000.pth``, ``E0040.tar``, ``000000500.safetensors``. Raises
    CheckpointError where there are none.
    """
    inside = folder / SNAPSHOTS if (folder / SNAPSHOTS).is_dir() else folder
    files = sorted(inside.iterdir()) if inside.is_dir() else []
    found = [
        Snapshot(int(number[1]), path)
        for path in files
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
        if (number := _NUMBER.search(path.stem))
    ]
    if not found:
        raise CheckpointError(
            str(folder), expected="a run folder with snapshots, or checkpoints with iterations in their names",
            found="none", do="set snapshot_every, or name them like net_80000.pth",
        )  # fmt: skip
    return sorted(found)


def keep_newest(folder: Path, count: int) -> None:
    """Remove all snapshots of ``folder`` but the ``count`` newest."""
    for older in snapshots_of(folder)[:-count]:
        older.path.unlink()


def snapshot_path(folder: Path, iteration: int) -> Path:
    """Where the snapshot of an iteration is written."""
    return folder / f"{iteration:09}.safetensors"


class SnapshotWriter:
    """A callback for any PyTorch training loop: keeps the weights after every ``every``-th step, the newest ``keep``.

    They are .safetensors files of the model's whole state dict, written whole, named by their step in ``folder``.
    """

    def __init__(self, folder: Path, *, every: int, keep: int = 20) -> None:
        if every < 1 or keep < 1:
            raise ValueError(f"every and keep must be at least 1, got {every} and {keep}")
        self.folder = folder
        self._every = every
        self._keep = keep

    def __call__(self, step: int, model: nn.Module) -> None:
        """To be called after each step, 1, 2, ...; most calls do nothing."""
        if step % self._every:
            return
        # Copies: tensors that share memory would be refused.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
        with written_whole(snapshot_path(self.folder, step)) as temporary:
            save_file(tensors, temporary)
        keep_newest(self.folder, self._keep)
