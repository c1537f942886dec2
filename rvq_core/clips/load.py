"""Files and folders to clips."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from rvq_core.clips.amc import read_amc, refuse_asf
from rvq_core.clips.bones import BoneMap, read_bone_map
from rvq_core.clips.bvh import read_bvh
from rvq_core.clips.clip import Clip
from rvq_core.clips.deepmimic import read_deepmimic
from rvq_core.clips.npy import read_npy
from rvq_core.clips.npz import read_npz
from rvq_core.clips.pt import read_pt
from rvq_core.clips.representations import get_representation
from rvq_core.clips.shelf import Shelf
from rvq_core.clips.split import choose, missing_note, read_split
from rvq_core.counted import counted
from rvq_core.errors import ClipError, unreadable
from rvq_core.files import leads_into

Paths = str | Path | Iterable[str | Path]


class ReadClip(Protocol):
    """What a reader is: a path, a representation if the user named one, and a frame rate for files without one.

    ``bone_map`` names a source bone for SMPL-X joints, for files with a skeleton of their own.
    """

    def __call__(
        self,
        path: Path,
        *,
        representation: str | None = None,
        fps: float | None = None,
        bone_map: Mapping[str, str] | None = None,
    ) -> Clip | list[Clip]:
        """Read one file, which may hold several clips; raises ``ClipError``."""
        ...


class Reader(NamedTuple):
    """``read`` takes the files that end in ``extension``; inside a folder it leaves ``passed_over`` ones alone."""

    extension: str
    read: ReadClip
    passed_over: Callable[[Path], bool]


class LeftOut(NamedTuple):
    """A file that gave no clip, and why."""

    path: Path
    reason: str


class ClipSet(NamedTuple):
    """The clips that could be read, in the order of their paths, and the files that could not.

    ``warnings`` tell what was asked for and is not there: paths, names of a split.
    """

    clips: list[Clip]
    left_out: list[LeftOut]
    warnings: tuple[str, ...] = ()


def _is_statistics(path: Path) -> bool:
    stem = path.stem.lower()
    return any(stem == word or stem.endswith(f"_{word}") for word in ("mean", "std"))


def _is_about_the_folder(path: Path) -> bool:
    return path.stem.lower().startswith(("readme", "licen", "notice", "copying", "authors", "changelog"))


def _never(path: Path) -> bool:  # noqa: ARG001 - asked of every reader
    return False


def _always(path: Path) -> bool:  # noqa: ARG001 - asked of every reader
    return True


# One line a file type. Order matters only where two readers share an extension.
READERS: tuple[Reader, ...] = (
    Reader(".npz", read_npz, _is_about_the_folder),
    Reader(".npy", read_npy, _is_statistics),
    Reader(".pt", read_pt, _is_statistics),
    Reader(".txt", read_deepmimic, _is_about_the_folder),
    Reader(".bvh", read_bvh, _never),
    Reader(".amc", read_amc, _never),
    Reader(".asf", refuse_asf, _always),
)


def load_clips(
    paths: Paths,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: BoneMap | None = None,
    split: str | Path | None = None,
) -> list[Clip]:
    """Read the clips of a file, a folder (with its subfolders), or several of both.

    ``representation`` says what the features mean where the number of columns does not; ``fps`` counts for files that
    name no frame rate, or one that cannot be. ``bone_map`` helps with skeletons whose bones have names of their own: a
    TOML or JSON file, or a mapping, with entries such as ``left_hip = "LeftUpLeg"`` (SMPL-X joint = source bone, empty
    to leave the joint at rest); it counts before the names that are known. ``split`` is a list of names, one a line:
    only files of these names are read.

    Raises ``ClipError`` where no clip can be read, so for one bad file given alone; a bad file among good ones is
    left out with a warning. Raises ``SettingsError`` where the bone map is none.
    """
    result = read_clips(paths, representation=representation, fps=fps, bone_map=bone_map, split=split)
    for path, reason in result.left_out:
        warnings.warn(f"left out {path.name}: {reason}", stacklevel=2)
    for told in result.warnings:
        warnings.warn(told, stacklevel=2)
    return result.clips


def read_clips(
    paths: Paths,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: BoneMap | None = None,
    split: str | Path | None = None,
    follow_links: bool = True,
) -> ClipSet:
    """Read like ``load_clips``, but list the files that were left out instead of warning.

    Clips beyond the first few lie on disk, in temporary files: memory does not grow with their number. Unless
    ``follow_links``, a link in a folder that leads out of it is left out.
    """
    bones = None if bone_map is None else read_bone_map(bone_map)
    given, files, told = list_files(paths, split)
    clips: list[Clip] = []
    left_out: list[LeftOut] = []
    with Shelf() as shelf:
        for path in files:
            try:
                if not follow_links:
                    _refuse_leading_out(path, given)
                clips += map(shelf.place, read_file(path, representation=representation, fps=fps, bone_map=bones))
            except ClipError as error:
                # Alone means: the user named this very file and no other.
                if given == [path]:
                    raise
                left_out.append(LeftOut(path, str(error)))
    if not clips:
        raise nothing_read(given, left_out)
    names = unique_names([(clip.name, clip.source) for clip in clips])
    named = [clip if clip.name == name else replace(clip, name=name) for clip, name in zip(clips, names, strict=True)]
    return ClipSet(named, left_out, told)


def list_files(paths: Paths, split: str | Path | None) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """The paths given, the files to read behind them, and warnings of what was asked for and is not there."""
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    found, closed = _list_files(given)
    if not found and closed:
        raise closed[0]
    files, told = _of_split(found, split)
    return given, files, (*_missing_paths(given), *map(str, closed), *told)


def _refuse_leading_out(path: Path, given: Sequence[Path]) -> None:
    """Raise ClipError where a file was found in a folder, and lies elsewhere."""
    if path not in given and not any(leads_into(path, folder) for folder in given):
        raise ClipError(
            str(path), expected="a file of this folder", found="a link that leads out of it",
            do="copy the file, or name the folder that it lies in",
        )  # fmt: skip


def _of_split(files: list[Path], split: str | Path | None) -> tuple[list[Path], tuple[str, ...]]:
    """The files that a split asks for, and what to say of names without one."""
    if split is None:
        return files, ()
    asked = read_split(split)
    if not files:
        return files, ()
    chosen = choose(files, asked)
    return chosen.files, (missing_note(asked, chosen.missing),) if chosen.missing else ()


def _missing_paths(given: list[Path]) -> tuple[str, ...]:
    """A path that is not there is a slip of the one who typed it, so it is said once more than of a bad file."""
    missing = [str(path) for path in given if not _true_or_closed(path.exists)]
    return (f"not there, so in none of the figures: {', '.join(missing)}",) if missing else ()


def _list_files(given: list[Path]) -> tuple[list[Path], list[ClipError]]:
    """The files to read, each once (named ones as they stand, folders searched and sorted); folders that are closed."""
    files: dict[Path, Path] = {}
    closed: list[ClipError] = []
    for path in given:
        searched = os.path.isdir(path)  # noqa: PTH112 - pathlib's own raises in a folder that is closed
        found = sorted(_in_folder(path, closed), key=lambda p: p.as_posix()) if searched else [path]
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values()), closed


def _in_folder(folder: Path, closed: list[ClipError]) -> Iterable[Path]:
    """The motion files of a folder; to ``closed`` goes an error for each folder that cannot be listed."""

    def note(error: OSError) -> None:
        closed.append(unreadable(Path(error.filename), error, ClipError))

    for inside, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(inside, name) for name in names if not name.startswith(".")):
            reader = _reader(path)
            if reader is not None and _true_or_closed(path.is_file) and not reader.passed_over(path):
                yield path


def _true_or_closed(ask: Callable[[], bool]) -> bool:
    """What the system answers, and True where it may not tell: who then opens the file is told."""
    try:
        return ask()
    except PermissionError:
        return True


def _reader(path: Path) -> Reader | None:
    return next((reader for reader in READERS if reader.extension == path.suffix.lower()), None)


def read_file(
    path: Path,
    *,
    representation: str | None = None,
    fps: float | None = None,
    bone_map: Mapping[str, str] | None = None,
) -> list[Clip]:
    """The clips of one file. Raises ClipError."""
    _refuse_unreadable(path)
    reader = _reader(path)
    if reader is None:
        raise ClipError(
            str(path),
            expected=f"a file that ends in {_extensions()}",
            found=f"'{path.suffix or path.name}'",
            do="convert the motion to one of these",
        )
    found = reader.read(path, representation=representation, fps=fps, bone_map=bone_map)
    clips = [found] if isinstance(found, Clip) else found
    return clips if representation is None else [_as_representation(clip, representation, path) for clip in clips]


def _refuse_unreadable(path: Path) -> None:
    """Raise ClipError where the system does not open a file, before a reader takes that for a fault of its content."""
    try:
        with path.open("rb"):
            return
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a null character in the name
        raise ClipError(str(path), expected="a file or a folder", found="nothing there", do="check the path") from error
    except OSError as error:
        raise unreadable(path, error, ClipError) from error


def _extensions() -> str:
    return ", ".join(dict.fromkeys(reader.extension for reader in READERS if reader.passed_over is not _always))


def _as_representation(clip: Clip, name: str, path: Path) -> Clip:
    kind = get_representation(name)
    if name == clip.representation:
        return clip
    if not kind.fits(clip.features.shape[1]):
        raise ClipError(
            str(path),
            expected=f"{name} (D = {kind.dim})",
            found=f"{clip.representation} (D = {clip.features.shape[1]})",
            do=f"leave the representation out, or give {clip.representation}",
        )
    return replace(clip, representation=name, skeleton=kind.default_skeleton())


def nothing_read(given: list[Path], left_out: list[LeftOut]) -> ClipError:
    """The error where ``given`` paths hold no clip that can be read."""
    where = ", ".join(map(str, given)) or "clips"
    if left_out:
        return ClipError(
            where,
            expected="at least one readable clip",
            found=f"{counted(len(left_out), 'file')} and none readable",
            do=f"the first says: {left_out[0].reason}",
        )
    found = "no path" if not given else "none in this folder" if len(given) == 1 else "none in these folders"
    return ClipError(
        where,
        expected=f"motion files ({_extensions()})",
        found=found,
        do="give a file or a folder with motion clips",
    )


def unique_names(named: Sequence[tuple[str, Path | None]]) -> list[str]:
    """Names of clips with their files, where shared told apart by the folder, the file's extension, then a number."""
    names = [name for name, _ in named]
    sources = [source for _, source in named]
    for widen in (_with_parent, _with_extension, None):
        counts = Counter(names)
        if max(counts.values()) == 1:
            break
        seen: Counter[str] = Counter()
        renamed: list[str] = []
        for name, source in zip(names, sources, strict=True):
            seen[name] += 1
            wider = widen(name, source) if widen else f"{name}#{seen[name]}"
            renamed.append(name if counts[name] == 1 else wider)
        names = renamed
    return names


def _with_parent(name: str, source: Path | None) -> str:
    return name if source is None else f"{source.resolve().parent.name}/{name}"


def _with_extension(name: str, source: Path | None) -> str:
    return name if source is None else f"{name}{source.suffix}"
