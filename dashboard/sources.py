"""Where checkpoints and clips can come from: bundled folders, folders given at start, uploads."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rvq_core.bundled import bundled_checkpoints, bundled_clips
from rvq_core.clips.load import READERS
from rvq_core.files import leads_into
from rvq_core.parts import checkpoint_files, parts_named

CHECKPOINTS_VARIABLE = "RVQ_LENS_CHECKPOINTS"
CLIPS_VARIABLE = "RVQ_LENS_CLIPS"
GROUPS_VARIABLE = "RVQ_LENS_GROUPS"
SPLIT_VARIABLE = "RVQ_LENS_SPLIT"
VARIABLES = (CHECKPOINTS_VARIABLE, CLIPS_VARIABLE, GROUPS_VARIABLE, SPLIT_VARIABLE)
"""How the command line hands its folders and files over."""

GROUPS_FILE = "groups.csv"
"""Groups of the clips of a folder, where it holds such a file and no other is named at start."""

CHECKPOINT_ENDINGS = (".safetensors", ".pt", ".pth", ".tar", ".ckpt", ".bin")
CLIP_ENDINGS = tuple(reader.extension for reader in READERS)


SET = "(body parts)"
"""Ends the name of a folder whose checkpoints are opened together."""

COMPANIONS = (".asf",)
"""Files that are no clips themselves but that a clip beside them needs."""


PIECE = 1 << 24
"""Bytes of an upload that are written at once."""


class FileStamp(NamedTuple):
    """A file as it is now: a changed file has another stamp, so nothing cached under the old one is shown.

    ``changed_ns`` is when the system last saw it change: copying tools set ``modified_ns`` back.
    """

    path: str
    modified_ns: int
    size: int
    changed_ns: int = -1


def stamp(path: Path) -> FileStamp:
    """Stamp of a file, or of nothing (-1) where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return FileStamp(str(path), -1, -1)
    return FileStamp(str(path), found.st_mtime_ns, found.st_size, found.st_ctime_ns)


def set_files(folder: Path) -> list[Path]:
    """The checkpoints of a set."""
    return [file for path in checkpoint_files(folder) for file in _checkpoints_in(path).values()]


def given_checkpoints() -> Path | None:
    """Folder (or file) of checkpoints named at start."""
    return _named_by(CHECKPOINTS_VARIABLE)


def given_clips() -> Path | None:
    """Folder (or file) of clips named at start."""
    return _named_by(CLIPS_VARIABLE)


def list_checkpoints() -> dict[str, Path]:
    """Checkpoints to choose from by name: those of the folder given at start, sets first, then the bundled ones.

    A set of body parts is one choice, a folder; its files can be chosen by themselves as well.
    """
    given = given_checkpoints()
    found = {} if given is None else _checkpoints_in(given)
    if given is not None and given.is_dir():
        found = _sets_in(given, found.values()) | found
    bundled = {path.stem: path for path in _checkpoints_in(bundled_checkpoints()).values()}
    return found | {name: path for name, path in sorted(bundled.items(), key=_healthy_first) if name not in found}


def clip_folders() -> dict[str, Path]:
    """Clip folders to choose from by name: the one given at start, then the bundled one."""
    given = given_clips()
    return ({} if given is None else {"folder": given}) | {"bundled": bundled_clips()}


def split_file(paths: Sequence[Path]) -> Path | None:
    """The list of names given at start; it counts for the clips given at start, the bundled ones where none are."""
    return _named_by(SPLIT_VARIABLE) if _chosen_at_start(paths) else None


def groups_file(paths: Sequence[Path]) -> Path | None:
    """Groups of these clips: those given at start, as for the split, else a ``groups.csv`` in the clips' folder."""
    given = _named_by(GROUPS_VARIABLE)
    if given is not None and _chosen_at_start(paths):
        return given
    return next((path / GROUPS_FILE for path in paths if (path / GROUPS_FILE).is_file()), None)


def clip_stamps(paths: list[Path]) -> tuple[FileStamp, ...]:
    """Stamps of all files below ``paths``: they change when a clip is added, removed or written again."""
    files = [file for path in paths for file in (sorted(path.rglob("*"), key=str) if path.is_dir() else [path])]
    return tuple(stamp(file) for file in files if file.suffix.lower() in CLIP_ENDINGS or not file.exists())


class UploadFolder:
    """A temporary folder for the uploads of one session, removed with it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="rvq-lens-uploads-"))
        self.close = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def keep(
        self, kind: str, name: str, file_id: str, content: BinaryIO, copied: Callable[[int], None] = lambda _size: None
    ) -> Path:
        """Write an uploaded file under a safe name, once; ``file_id`` tells uploads of one name apart.

        In pieces, without a second copy in memory; ``copied`` is told how many bytes each had. Raises OSError.
        """
        folder = self.path / kind / re.sub(r"[^A-Za-z0-9-]", "", file_id)
        target = folder / safe_name(name)
        if target.exists():
            return target
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / ".part"
        content.seek(0)
        try:
            with part.open("wb") as file:
                while piece := content.read(PIECE):
                    file.write(piece)
                    copied(len(piece))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target


def safe_name(name: str) -> str:
    """The last part of a path from elsewhere, with only letters, digits, dot, dash and underscore; never hidden."""
    last = re.split(r"[/\\]", name)[-1]
    return re.sub(r"[^\w.-]", "_", last, flags=re.ASCII).lstrip(".")[-120:] or "file"


def _chosen_at_start(paths: Sequence[Path]) -> bool:
    return list(paths) == [next(iter(clip_folders().values()))]


def _named_by(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None


def _checkpoints_in(folder: Path) -> dict[str, Path]:
    """Checkpoint files of a folder by their path below what holds them all; a file stands for itself."""
    if folder.is_file():
        return {folder.name: folder}
    files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(CHECKPOINT_ENDINGS))
    shown = [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    # What others put into a folder that is served must not show them files that lie elsewhere.
    files = [path for path in shown if path.is_file() and leads_into(path, folder)]
    # A run's folder in a folder of runs tells nothing where there is one: all names would begin alike, and be cut.
    above = Path(os.path.commonpath([path.parent for path in files])) if len(files) > 1 else folder
    return {path.relative_to(above).as_posix(): path for path in files}


def _sets_in(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Folders of ``files``, by their path in ``folder``, whose names tell a set of body parts."""
    near = {above for file in files for above in (file.parent, file.parent.parent) if above.is_relative_to(folder)}
    found = {above.relative_to(folder).as_posix(): above for above in sorted(near) if parts_named(above)}
    return {f"{folder.resolve().name if name == '.' else name} {SET}": path for name, path in found.items()}


def _healthy_first(entry: tuple[str, Path]) -> tuple[bool, str]:
    return entry[0] != "healthy", entry[0]
