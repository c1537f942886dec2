"""The one place that reads checkpoint bytes: safetensors, and ``torch.load`` with ``weights_only`` alone.

Nothing in a file ever runs: pickles are read by torch's restricted unpickler, with a short list of harmless types and
inert stand-ins beside it, and there is no other way in.
"""

from __future__ import annotations

import pickle
import re
import threading
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from safetensors import SafetensorError, safe_open

from rvq_core.errors import CheckpointError, some_of, unreadable
from rvq_core.files import sha256_of
from rvq_core.limits import TENSORS, refuse_beyond
from rvq_core.loading.other_kinds import refuse_other_archive, refuse_other_kind

FOLDER_FILES = ("model.safetensors", "model/net_best_fid.tar", "model/latest.tar", "net_best_fid.pth", "net_last.pth")
"""Weights files looked for, in this order, where a folder is given."""

FOLDERS_INSIDE = ("checkpoints", "model")
"""Folders inside it that are looked into where it holds none itself."""

ENDINGS = (".safetensors", ".pth", ".pt", ".tar", ".ckpt", ".bin")
"""How the names of weights files end."""

LARGEST_EXPANSION = 4.0
"""How many times its size a checkpoint may unpack to; torch itself stores tensors uncompressed."""

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_REFUSED_TYPE = re.compile(r"GLOBAL (.+?) (?:was not an allowed|whose module)")
"""How torch tells of a type that is not on its list, or of a module that never will be."""


class Inert:
    """Stands for a type of another library: keeps nothing of what it is given and does nothing."""

    def __init__(self, *_: object) -> None:
        """Accept whatever a pickle makes the object from."""

    def __setstate__(self, state: object) -> None:
        """Accept whatever a pickle puts into the object."""


def _inert_dict(*_: object) -> OrderedDict[Any, Any]:
    """An empty dictionary for a pickle to fill, without the factory of a defaultdict."""
    return OrderedDict()


_STAND_INS = (
    "argparse.Namespace",  # the options of most training scripts
    # numpy numbers and arrays (best scores, statistics), by the names of numpy 1 and 2
    *("numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    # OmegaConf's containers (MotionGPT's hyper_parameters), and the types that its metadata points at
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"),
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path")),
    *("typing.Any", *(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "int", "float", "str", "bool"))),
    # paths; the second names are those of Python 3.13
    *("pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
)
"""Types that training scripts leave in their checkpoints; none of their content is needed, so none is ever made."""

_DICTIONARIES = (
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
)
"""Lightning's hyper-parameters: dictionaries by another name, read as plain ones."""

_ALLOWED: list[Any] = [
    *((Inert, name) for name in _STAND_INS),
    *((OrderedDict, name) for name in _DICTIONARIES),
    (_inert_dict, "collections.defaultdict"),
]
"""All that is let in beside torch's own list; nothing here runs anything of what a file names."""

_ONE_AT_A_TIME = threading.Lock()
"""torch keeps its list of allowed types, and Python its warnings, for the whole process."""


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
        if not file.is_file():
            found = "no regular file" if file.exists() else "nothing there"
            raise CheckpointError(str(file), expected="a checkpoint file", found=found, do="check the path")
        with file.open("rb") as opened:
            start = opened.read(512)
        content, metadata = _read_by_kind(file, start)
        return RawFile(path=file, name=_name(path), sha256=sha256_of(file), content=content, metadata=metadata)
    except OSError as error:
        raise unreadable(path, error, CheckpointError) from error


def read_object(file: Path) -> object:
    """Whatever ``torch.save`` wrote into a file, read as safely as a checkpoint. Raises CheckpointError."""
    try:
        with file.open("rb") as opened:
            start = opened.read(512)
    except OSError as error:
        raise unreadable(file, error, CheckpointError) from error
    if start.startswith((b"PK", _LEGACY_MAGIC)):
        _refuse_what_could_harm(file, start)
        return _load_weights_only(file)
    return _read_by_kind(file, start)[0]


def _name(path: Path) -> str:
    """What a user calls the checkpoint: the folder's name, or the file's without its endings."""
    if path.is_dir():
        return path.resolve().name
    return path.name.removesuffix(path.suffix).removesuffix(".pth")


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    known = next((path / name for name in FOLDER_FILES if (path / name).is_file()), None)
    if known is not None:
        return known
    found = weights_in(path) or weights_inside(path)
    if len(found) != 1:
        shown = some_of(file.relative_to(path).as_posix() for file in found) or "no weights file"
        raise CheckpointError(
            str(path), expected="a folder with one checkpoint", found=shown, do="name the file inside it"
        )
    return found[0]


def weights_in(folder: Path) -> list[Path]:
    """Weights files of any name in a folder; what is being written has a hidden one."""
    return sorted(
        file for file in folder.iterdir() if file.suffix in ENDINGS and not file.name.startswith(".") and file.is_file()
    )


def weights_inside(folder: Path) -> list[Path]:
    """Weights files in the ``FOLDERS_INSIDE`` a folder."""
    inside = [folder / name for name in FOLDERS_INSIDE]
    return [file for each in inside if each.is_dir() for file in weights_in(each)]


def _read_by_kind(file: Path, start: bytes) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Read by what the file is, whatever its ending says."""
    if not start:
        raise CheckpointError(str(file), expected="a checkpoint file", found="an empty file", do="copy it again")
    if start[8:9] == b"{":
        return _read_safetensors(file, start)
    if start.startswith((b"PK", _LEGACY_MAGIC)):
        _refuse_what_could_harm(file, start)
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
    return _read_safetensors(file, start)


def _read_safetensors(file: Path, start: bytes) -> tuple[Mapping[str, Any], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as opened:
            keys = opened.keys()
            refuse_beyond(TENSORS, len(keys), file, CheckpointError)
            tensors = {key: opened.get_tensor(key) for key in keys}
            return tensors, dict(opened.metadata() or {})
    except SafetensorError as error:
        refuse_other_kind(file, start)
        raise CheckpointError(
            str(file), expected="a .safetensors file or one written by torch.save",
            found=f"a file that is neither ({error})",
            do="check that it is a checkpoint, or copy it again if it was cut short",
        ) from error  # fmt: skip


def _refuse_what_could_harm(file: Path, start: bytes) -> None:
    """Look at a file of torch's, in its newer or its older container, before anything in it is read."""
    if start.startswith(b"PK"):
        _refuse_archive(file)
    else:
        with file.open("rb") as opened:
            _refuse_bytearray(file, opened)


def _refuse_archive(file: Path) -> None:
    """Refuse an archive that is damaged, of compiled code, or unpacks to far more than it is; nothing is unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except Exception as error:  # zipfile raises what it happens to meet in a damaged archive
        raise _damaged(file, error) from error
    refuse_other_archive(file, [entry.filename for entry in entries])
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGEST_EXPANSION * file.stat().st_size + (1 << 20):
        raise CheckpointError(
            str(file), expected=f"an archive that unpacks to at most {LARGEST_EXPANSION:g} times its size",
            found=f"{unpacked} bytes in {file.stat().st_size}",
            do="do not trust this file: torch.save writes no such archive",
        )  # fmt: skip
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise CheckpointError(
            str(file), expected="tensors and plain values", found="a TorchScript program, which could run code",
            do="re-save it where it was trained: torch.save(model.state_dict(), PATH)",
        )  # fmt: skip
    _refuse_pickles(file)


def _refuse_pickles(file: Path) -> None:
    """Look at the pickles of an archive, which is known to be no bomb."""
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as opened:
                        _refuse_bytearray(file, opened)
    except CheckpointError:
        raise
    except Exception as error:  # as above
        raise _damaged(file, error) from error


def _refuse_bytearray(file: Path, opened: IO[bytes]) -> None:
    """Refuse the one type on torch's own list that makes gigabytes of a number in a pickle; no model needs it."""
    end = b""
    while block := opened.read(1 << 20):
        if b"\nbytearray\n" in end + block:
            raise _refused(file, "bytearray")
        end = block[-16:]


def _read_torch(file: Path) -> Mapping[str, Any]:
    content = _load_weights_only(file)
    if not isinstance(content, dict):
        raise CheckpointError(
            str(file),
            expected="a dictionary of tensors",
            found=type(content).__name__,
            do="save the model's state_dict()",
        )
    return dict(dict.items(cast(dict[str, Any], content)))


def _load_weights_only(file: Path) -> object:
    """The one call of ``torch.load``."""
    try:
        # The opened file, not its name: by a name that ends in .safetensors torch would choose another reader.
        with _ONE_AT_A_TIME, warnings.catch_warnings(), file.open("rb") as opened:
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_ALLOWED):
                return torch.load(opened, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _REFUSED_TYPE.search(str(error))
        raise _refused(file, named[1] if named else None) from error
    except Exception as error:  # torch raises whatever it meets in a damaged file, its own assertions included
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        str(file),
        expected="a file written by torch.save",
        found=f"a damaged one ({_first_line(error)})",
        do="copy it again: it was cut short or changed",
    )


def _refused(file: Path, name: str | None) -> CheckpointError:
    """The error for a pickle with something that could run, a type of that name; torch's own words advise to trust."""
    found = "a pickle that torch will not open safely"
    if name is not None:
        found = f"an object of type {name[:200]}, which could run code"
    return CheckpointError(
        str(file),
        expected="tensors and plain values",
        found=found,
        do="re-save it where it was trained: torch.save(model.state_dict(), PATH)",
    )


def _first_line(error: Exception) -> str:
    """What an error says, in a few words; its type where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
