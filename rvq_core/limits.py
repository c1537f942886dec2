"""How much a file may make the program take: named bounds, looked at before memory is taken, each to be changed.

A bound is an environment variable; the error that tells of it names it. Those of a format's own making (codes that fit
uint16, joints of a person) are not here: they stand beside the format. Listed in docs/security.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rvq_core.errors import RVQLensError, SettingsError

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

MEGABYTE = 1 << 20


class Limit(NamedTuple):
    """A bound: the environment variable that changes it, what counts where that is not set, and what it bounds."""

    variable: str
    usual: int
    unit: str

    @property
    def most(self) -> int:
        """What is allowed. Raises SettingsError where the variable holds no such number."""
        told = os.environ.get(self.variable)
        if told is None:
            return self.usual
        if not told.isascii() or not told.isdigit() or not 0 < len(told) < 19:
            raise SettingsError(
                self.variable, expected="a whole number", found=repr(told), do="correct or unset this variable"
            )
        return int(told)


UNPACKED = Limit("RVQ_LENS_MAX_UNPACKED_MB", 512, "MB unpacked, of a file that is smaller")
"""What compressed arrays and tables may unpack to where that is more than the file's own size."""

TEXT = Limit("RVQ_LENS_MAX_TEXT_MB", 1024, "MB of text")
"""Size of a text file of motion; a line of numbers takes about five times its size in memory."""

SETTINGS = Limit("RVQ_LENS_MAX_SETTINGS_MB", 64, "MB of JSON, TOML or names")
"""Size of a text file that is taken apart as a whole: DeepMimic motion, manifests, lists, maps, settings."""

FRAMES = Limit("RVQ_LENS_MAX_FRAMES", 4_320_000, "frames at the checkpoint's rate")
"""Frames that a clip of fewer may be resampled to: ten hours at 120 frames a second."""

TENSORS = Limit("RVQ_LENS_MAX_TENSORS", 20_000, "tensors")
"""Tensors of a checkpoint; the models of this field have some hundreds."""

LIMITS = (UNPACKED, TEXT, SETTINGS, FRAMES, TENSORS)


def refuse_beyond(limit: Limit, found: float, where: object, kind: type[RVQLensError]) -> None:
    """Raise an error of ``kind`` that names the bound where ``found`` (in its unit) is beyond it."""
    most = limit.most
    if found > most:
        raise kind(
            str(where), expected=f"at most {most:,} {limit.unit}", found=f"{ceil(found):,}",
            do=f"if you trust this file, set the environment variable {limit.variable} to more",
        )  # fmt: skip


def refuse_unpacking(unpacked: int, size: int, where: object, kind: type[RVQLensError]) -> None:
    """Raise an error of ``kind`` where a file of ``size`` bytes would take as many as ``unpacked``, and not its own."""
    if unpacked > size:
        refuse_beyond(UNPACKED, unpacked / MEGABYTE, where, kind)


def unpacked_size(archive: NpzFile, names: Iterable[str]) -> int:
    """Bytes that arrays of an archive unpack to, as it declares: no more of them is ever read."""
    assert archive.zip is not None  # it is open
    held = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.zip.infolist()}
    return sum(held.get(name, 0) for name in names)


def bounded_bytes(path: Path, limit: Limit, kind: type[RVQLensError]) -> bytes:
    """The content of a file no larger than ``limit`` (in megabytes). Raises an error of ``kind``, and OSError."""
    refuse_beyond(limit, path.stat().st_size / MEGABYTE, path, kind)
    return path.read_bytes()


def bounded_text(path: Path, limit: Limit, kind: type[RVQLensError], encoding: str = "utf-8") -> str:
    """The same as text. Raises UnicodeDecodeError as well."""
    return bounded_bytes(path, limit, kind).decode(encoding)
