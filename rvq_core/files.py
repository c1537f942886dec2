"""Writing and hashing files: nothing half-written, one pass."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_HERE, _EXCHANGE = -100, 2
"""The current folder, and the flag of a swap, as the systems' headers number them."""


@contextmanager
def written_whole(path: Path) -> Generator[Path]:
    """A temporary name beside ``path``; what is written there takes the place of ``path`` when the block ends well.

    When it does not, ``path`` stays as it was and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step of the system, so that at no moment either is missing.

    False where the system, or the disk, cannot: then nothing has changed. Linux: renameat2; macOS: renamex_np.
    """
    names = os.fsencode(one), os.fsencode(other)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform.startswith("linux"):
            return libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0
        return sys.platform == "darwin" and libc.renamex_np(*names, _EXCHANGE) == 0
    except (OSError, AttributeError, TypeError):  # no such library, or no such call in it
        return False


def leads_into(path: Path, folder: Path) -> bool:
    """Whether what ``path`` stands for, links followed, lies in ``folder``, or is it."""
    return path.resolve().is_relative_to(folder.resolve())


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    # The process's umask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
