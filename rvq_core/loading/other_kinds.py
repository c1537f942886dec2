"""What a file that is no checkpoint is instead, by its first bytes: motion, arrays, a table, a text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from rvq_core.errors import CheckpointError, some_of


class _Kind(NamedTuple):
    """How files of a kind begin, what they are called, and what to do where one is given as a checkpoint."""

    start: bytes
    name: str
    do: str


_AS_A_CLIP = "give it after the checkpoint, as in: rvq-lens analyze CKPT {name} --out DIR"
_UNPACK = "unpack it, and name the checkpoint that it holds"
_NAME_WEIGHTS = "name the file of the weights (.safetensors, .pth, .pt, .tar, .ckpt or .bin)"

_BY_START = (
    _Kind(
        b"\x93NUMPY",
        "an .npy file, a single array",
        "give motion after the checkpoint, mean and std with --mean and --std",
    ),
    _Kind(b"HIERARCHY", "motion (BVH)", _AS_A_CLIP),
    _Kind(b"#!OML:ASF", "motion (AMC)", _AS_A_CLIP),
    _Kind(b"PAR1", "a table (Parquet)", _NAME_WEIGHTS),
    _Kind(b"\x89HDF", "an HDF5 file", "save the weights with torch.save"),
    _Kind(b"\x1f\x8b", "a compressed file (gzip)", _UNPACK),
)

_TAR_MARK, _TAR_AT = b"ustar", 257
_WIDEST_CHARACTER = 4
_SHOWN = 40
"""Characters of a text that are shown."""


def refuse_other_archive(file: Path, entries: list[str]) -> None:
    """Raise CheckpointError where the ``entries`` of a ZIP archive are arrays of numpy, or none of torch's."""
    if entries and all(name.endswith(".npy") for name in entries):
        names = [name.removesuffix(".npy") for name in entries]
        kind = "motion" if "poses" in names else "arrays"
        raise _not_a_checkpoint(file, f"an .npz of {kind} ({some_of(names)})", _AS_A_CLIP)
    if not any("/" in name for name in entries):  # torch's own lie in a folder
        raise _not_a_checkpoint(file, f"a ZIP archive ({some_of(entries) or 'empty'})", _UNPACK)


def refuse_other_kind(file: Path, start: bytes) -> None:
    """Raise CheckpointError where the ``start`` of a file that no reader of checkpoints takes tells what it is."""
    for kind in _BY_START:
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(kind.start):
            raise _not_a_checkpoint(file, kind.name, kind.do)
    if start[_TAR_AT:].startswith(_TAR_MARK):
        raise _not_a_checkpoint(file, "an archive (tar)", _UNPACK)
    text = _as_text(start)
    if text is None:
        return
    if text[0] in "{[":
        motion = '"Frames"' in text
        raise _not_a_checkpoint(
            file, "motion (DeepMimic)" if motion else "a JSON text", _AS_A_CLIP if motion else _NAME_WEIGHTS
        )
    line = text.splitlines()[0]
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
    raise _not_a_checkpoint(file, f"a text that begins with {shown!r}", _NAME_WEIGHTS)


def _as_text(start: bytes) -> str | None:
    """The beginning of a text without the space before it; None of other bytes, and of nothing but space."""
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - _WIDEST_CHARACTER + 1 or error.start == 0:
            return None
        text = start[: error.start].decode("utf-8-sig")  # cut within a character
    text = text.strip()
    return text if text and all(c.isprintable() or c.isspace() for c in text) else None


def _not_a_checkpoint(file: Path, found: str, do: str) -> CheckpointError:
    return CheckpointError(str(file), expected="a checkpoint", found=found, do=do.replace("{name}", file.name))
