"""The one place that reads checkpoint bytes: safetensors, and ``torch.load`` with ``weights_only`` alone.

Nothing in a file ever runs: pickles are read by torch's restricted unpickler, with a short list of harmless types and
inert stand-ins beside it, and there is no other way in.
"""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from rvq_core.errors import CheckpointError
from rvq_core.files import sha256_of

FOLDER_FILES = ("model.safetensors", "model/net_best_fid.tar", "model/latest.tar", "net_best_fid.pth", "net_last.pth")
"""Weights files looked for, in this order, where a folder is given."""

LARGEST_EXPANSION = 4.0
"""How many times its size a checkpoint may unpack to; torch itself stores tensors uncompressed."""

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_REFUSED_GLOBAL = "Unsupported global: GLOBAL "


class Inert:
    """Stands for a type of another project's library: keeps what it is given and does nothing."""

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        self.state = state


_STAND_INS = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.StringNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.BooleanNode",
    "typing.Any",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""Types that training scripts leave in their checkpoints; none of their content is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class RawFile:
    """A checkpoint as read: the object in the file (tensors by key for safetensors), the text metadata of its header.

    ``path`` is what the user named (a folder, perhaps), ``sha256`` that of the weights file inside it.
    """

    path: Path
    name: str
    sha256: str
    content: Mapping[str, Any]
    metadata: dict[str, str]


def read_file(path: Path) -> RawFile:
    """Read a checkpoint file whole, or the weights file of a folder. Raises CheckpointError."""
    try:
        file = _weights_file(path)
        if not file.exists():
            raise CheckpointError(str(file), expected="a checkpoint file", found="nothing there", do="check the path")
        with file.open("rb") as opened:
            start = opened.read(512)
        content, metadata = _read_by_kind(file, start)
        return RawFile(path=file, name=_name(path), sha256=sha256_of(file), content=content, metadata=metadata)
    except OSError as error:
        raise CheckpointError(
            str(path), expected="a readable file", found=error.strerror or str(error), do="check its permissions"
        ) from error


def _name(path: Path) -> str:
    """What a user calls the checkpoint: the folder's name, or the file's without its endings."""
    if path.is_dir():
        return path.resolve().name
    return path.name.removesuffix(path.suffix).removesuffix(".pth")


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in FOLDER_FILES if (path / name).is_file()]
    if not found:
        kinds = (".safetensors", ".pth", ".tar", ".ckpt", ".bin", ".pt")
        found = sorted(file for file in path.iterdir() if file.suffix in kinds and file.is_file())
        if len(found) != 1:
            shown = ", ".join(file.name for file in found[:6]) if found else "no weights file"
            raise CheckpointError(
                str(path), expected="a folder with one checkpoint", found=shown, do="name the file inside it"
            )
    return found[0]


def _read_by_kind(file: Path, start: bytes) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Read by what the file is, whatever its ending says."""
    if not start:
        raise CheckpointError(str(file), expected="a checkpoint file", found="an empty file", do="copy it again")
    if start[8:9] == b"{":
        return _read_safetensors(file)
    if start.startswith(b"PK"):
        _refuse_bomb(file)
        return _read_torch(file), {}
    if start.startswith(_LEGACY_MAGIC):
        return _read_torch(file), {}
    if start[:1] == b"\x80":
        raise CheckpointError(
            str(file), expected="a file written by torch.save", found="another pickle",
            do="a plain pickle can run code and is never opened: save the state_dict() with torch.save",
        )  # fmt: skip
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(
            str(file), expected="a checkpoint file", found="a web page (HTML) saved under this name",
            do="download it again: the link led to a page, not to the file",
        )  # fmt: skip
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            str(file), expected="a checkpoint file", found="a Git LFS pointer", do="fetch the file with: git lfs pull"
        )
    return _read_safetensors(file)


def _read_safetensors(file: Path) -> tuple[Mapping[str, Any], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - it is not a mapping
            return tensors, dict(opened.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(
            str(file), expected="a .safetensors file or one written by torch.save",
            found=f"a file that is neither ({error})",
            do="check that it is a checkpoint, or copy it again if it was cut short",
        ) from error  # fmt: skip


def _refuse_bomb(file: Path) -> None:
    """Refuse an archive that would unpack to far more than it is, before any of it is unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CheckpointError(
            str(file),
            expected="a whole archive",
            found=f"a damaged one ({error})",
            do="copy it again: it was cut short",
        ) from error
    limit = LARGEST_EXPANSION * file.stat().st_size + (1 << 20)
    if unpacked > limit:
        raise CheckpointError(
            str(file), expected=f"an archive that unpacks to at most {LARGEST_EXPANSION:g} times its size",
            found=f"{unpacked} bytes in {file.stat().st_size}",
            do="do not trust this file: torch.save writes no such archive",
        )  # fmt: skip


def _read_torch(file: Path) -> Mapping[str, Any]:
    try:
        # The opened file, not its name: by a name that ends in .safetensors torch would choose another reader.
        with file.open("rb") as opened, torch.serialization.safe_globals(_safe_types()):
            content = torch.load(opened, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(file, str(error)) from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        AssertionError,
    ) as error:
        first = (str(error).splitlines() or [""])[0]
        raise CheckpointError(
            str(file),
            expected="a file written by torch.save",
            found=f"a damaged one ({first or type(error).__name__})",
            do="copy it again: it was cut short or changed",
        ) from error  # fmt: skip
    if not isinstance(content, Mapping):
        raise CheckpointError(
            str(file),
            expected="a dictionary of tensors",
            found=type(content).__name__,
            do="save the model's state_dict()",
        )
    return cast(Mapping[str, Any], content)


def _refused(file: Path, message: str) -> CheckpointError:
    """The error for a pickle with something that could run."""
    if _REFUSED_GLOBAL in message:
        name = message.split(_REFUSED_GLOBAL, 1)[1].split(" ", 1)[0].rstrip(".")
        return CheckpointError(
            str(file), expected="tensors and plain values", found=f"an object of type {name}, which could run code",
            do="re-save it where it was trained: torch.save(model.state_dict(), PATH)",
        )  # fmt: skip
    first = next((line for line in message.splitlines() if line.strip()), "unreadable pickle")
    return CheckpointError(
        str(file),
        expected="tensors and plain values",
        found=f"a pickle that torch will not open safely ({first.strip()})",
        do="re-save it where it was trained: torch.save(model.state_dict(), PATH)",
    )  # fmt: skip


def _safe_types() -> list[Any]:
    """Types beside torch's own list: options and numbers without code, stand-ins for other libraries' containers."""
    numbers = [
        np.dtype,
        *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
    ]
    scalar = np.float64(0).__reduce__()[0]
    harmless = [argparse.Namespace, OrderedDict, defaultdict, dict, list, int, float, str, *numbers]
    names = [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    return [*harmless, *names, *((Inert, name) for name in _STAND_INS)]
