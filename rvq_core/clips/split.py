"""A split: the clips that a list of names asks for, as HumanML3D's test.txt does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from rvq_core.counted import counted
from rvq_core.errors import ClipError
from rvq_core.limits import SETTINGS, bounded_text

SHOWN = 5
"""Names that a message gives as examples."""


class Split(NamedTuple):
    """The names of a split file, in its order, each once."""

    path: Path
    names: tuple[str, ...]


class Chosen(NamedTuple):
    """The files that a split asks for, and the names of it that no file has."""

    files: list[Path]
    missing: list[str]


def read_split(path: str | Path) -> Split:
    """Read a list of names, one a line; empty lines do not count. Raises ClipError."""
    path = Path(path)
    try:
        text = bounded_text(path, SETTINGS, ClipError, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "bytes that are no text"
        raise _no_list(path, found or str(error)) from error
    names = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not names:
        raise _no_list(path, "an empty file")
    return Split(path, names)


def choose(files: Iterable[Path], split: Split) -> Chosen:
    """The files of a split, in their own order.

    A name is a file's without its ending, or with it; with folders before it (`S0001/walk`) those must be the file's
    own too. Raises ClipError where no file has any of the names.
    """
    wanted = {name.replace("\\", "/").strip("/"): name for name in split.names}
    depth = 1 + max(name.count("/") for name in wanted)
    met: set[str] = set()
    kept: list[Path] = []
    looked_at = 0
    for file in files:
        looked_at += 1
        names = _names_of(file, depth) & wanted.keys()
        met |= names
        if names:
            kept.append(file)
    if not kept:
        raise ClipError(
            str(split.path),
            expected="names of the given motion files, one a line",
            found=f"{counted(len(wanted), 'name')} ({', '.join(split.names[:3])}{', ...' if len(wanted) > 3 else ''}), "
            f"none of which names any of the files ({counted(looked_at, 'file')})",
            do="give the folder that these clips are in, or another split file",
        )
    return Chosen(kept, [name for key, name in wanted.items() if key not in met])


def missing_note(split: Split, missing: list[str]) -> str:
    """What to say of names that no file has."""
    shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    names = counted(len(split.names), "name")
    verb = "has" if len(missing) == 1 else "have"
    return f"{len(missing)} of the {names} in {split.path.name} {verb} no motion file: {shown}"


def _names_of(file: Path, depth: int) -> set[str]:
    """What a split may call a file: its name with and without its ending, after up to ``depth`` - 1 folders."""
    parts = file.parts[-depth:]
    full = ["/".join(parts[start:]) for start in range(len(parts))]
    return {*full, *(name.removesuffix(file.suffix) for name in full)}


def _no_list(path: Path, found: str) -> ClipError:
    return ClipError(
        str(path), expected="a list of clips' names, one a line", found=found, do="give a text file such as test.txt"
    )
