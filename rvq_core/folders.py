"""Writing whole folders: all of it or nothing, an earlier one of the same kind replaced, any other left alone.

What the user has put into an earlier one stays in its place.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvq_core.errors import ReportError
from rvq_core.files import exchange


@dataclass(frozen=True, slots=True)
class FolderKind:
    """A kind of folder: its name in messages, and how one that was written earlier is known.

    ``written_in`` gives the files of one, as paths in it, that were written with it: all others are the user's.
    """

    name: str
    is_one: Callable[[Path], bool]
    written_in: Callable[[Path], Collection[Path]]

    def refuse_foreign(self, target: Path) -> None:
        """Raise ReportError unless ``target`` is absent, empty, or an earlier one; the current folder is never one."""
        if Path.cwd().is_relative_to(target.resolve()):
            raise ReportError(
                str(target), expected="a folder to replace", found="the current folder, or one above it",
                do="name a new folder with --out",
            )  # fmt: skip
        try:
            self._refuse_other_content(target)
        except OSError as error:
            raise ReportError(
                str(target), expected="a folder that can be read", found=error.strerror or str(error),
                do="choose another place with --out",
            ) from error  # fmt: skip

    def refuse_unwritable(self, target: Path) -> None:
        """Raise ReportError where no folder can be written at ``target``; asked before work whose result goes there."""
        self.refuse_foreign(target)
        place = target.resolve().parent
        while not place.exists():
            place = place.parent
        try:
            tempfile.TemporaryDirectory(dir=place).cleanup()
        except OSError as error:
            raise _not_writable(target.resolve(), error) from error

    def _refuse_other_content(self, target: Path) -> None:
        if not target.exists():
            return
        if not target.is_dir():
            raise ReportError(str(target), expected="a folder", found="a file", do="choose another place with --out")
        if any(target.iterdir()) and not self.is_one(target):
            raise ReportError(
                str(target), expected=f"an empty folder or an earlier {self.name}", found="a folder with other files",
                do="choose another place with --out",
            )  # fmt: skip


@contextmanager
def written_folder(folder: Path, kind: FolderKind) -> Generator[Path]:
    """A temporary folder beside ``folder``, which takes its place when the block ends well.

    When it does not, ``folder`` stays as it was and nothing is left beside it. Raises ReportError for a folder that
    ``kind`` refuses, and where there is no room or no permission.
    """
    kind.refuse_foreign(folder)
    # Resolved, so that a link keeps pointing at the folder it names.
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _not_writable(target, error) from error
    try:
        temporary.chmod(0o755)
        yield temporary
        if target.exists() and any(target.iterdir()):
            _keep_others(target, kind.written_in(target), temporary)
        _put_in_place(temporary, target)
    except OSError as error:
        raise ReportError(
            str(target), expected=f"room to write the {kind.name}", found=error.strerror or str(error),
            do="free some space or choose another place with --out",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def told_in(file: Path) -> dict[str, Any]:
    """What a manifest tells; nothing where there is none, or another kind of file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def files_in(folder: Path) -> list[Path]:
    """All files of a folder and of those in it, and links, as paths in it."""
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _keep_others(folder: Path, written: Collection[Path], temporary: Path) -> None:
    """Give the finished folder what the user has put into the earlier one, unless something of that name is new."""
    for path in {*files_in(folder)}.difference(written):
        to = temporary / path
        if to.exists():
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(folder / path, to, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a disk without links
            shutil.copy2(folder / path, to, follow_symlinks=False)


def _put_in_place(temporary: Path, target: Path) -> None:
    """Rename the finished folder onto the target; an earlier one changes places with it, and goes as temporary ones do.

    Where the system cannot exchange names the earlier one steps aside first: killed at that moment, it is left beside.
    """
    if not target.exists():
        temporary.rename(target)
        return
    if exchange(temporary, target):
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(aside / target.name)
    try:
        temporary.rename(target)
    except BaseException:
        # Ctrl-C counts too: the earlier folder must not go with the one that it stepped into.
        (aside / target.name).rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _not_writable(target: Path, error: OSError) -> ReportError:
    return ReportError(
        str(target), expected="a folder that can be written", found=error.strerror or str(error),
        do="choose another place with --out",
    )  # fmt: skip
