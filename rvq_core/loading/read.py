"""The one place that reads checkpoint bytes: safetensors only, no pickle, nothing in a file ever runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rvq_core.errors import CheckpointError
from rvq_core.files import sha256_of


@dataclass(frozen=True, slots=True, eq=False)
class RawFile:
    """A checkpoint file as read: its tensors by key, the text metadata of its header, its sha256."""

    path: Path
    sha256: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_file(path: Path) -> RawFile:
    """Read a ``.safetensors`` file whole. Raises CheckpointError where it is missing, foreign or damaged."""
    where = str(path)
    try:
        if not path.exists():
            raise CheckpointError(where, expected="a checkpoint file", found="nothing there", do="check the path")
        if path.is_dir():
            raise CheckpointError(where, expected="a checkpoint file", found="a folder", do="name the file inside it")
        if path.stat().st_size == 0:
            raise CheckpointError(where, expected="a checkpoint file", found="an empty file", do="copy it again")
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is not a mapping
            metadata = dict(file.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(
            where,
            expected="a .safetensors checkpoint",
            found=f"a file that cannot be read as one ({error})",
            do="give a checkpoint written by rvq-lens train, or copy the file again if it was cut short",
        ) from error
    except OSError as error:
        raise CheckpointError(
            where, expected="a readable file", found=error.strerror or str(error), do="check its permissions"
        ) from error
    refuse_non_finite(where, tensors)
    return RawFile(path=path, sha256=sha256_of(path), tensors=tensors, metadata=metadata)


def refuse_negative(where: str, std: Tensor) -> None:
    """Raise CheckpointError where a standard deviation is below 0."""
    if bool((std < 0).any()):
        raise CheckpointError(
            where,
            expected="standard deviations >= 0",
            found=f"{int((std < 0).sum())} of {std.numel()} values below 0",
            do="give the file of this model",
        )


def refuse_non_finite(where: str, tensors: dict[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor that holds NaN or infinity."""
    for key, tensor in tensors.items():
        # float8 can be read but not asked.
        values = tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise CheckpointError(
                f"{where}: {key}",
                expected="finite weights",
                found=f"{bad} of {tensor.numel()} values are NaN or infinite",
                do="take an earlier checkpoint: this training had diverged",
            )
