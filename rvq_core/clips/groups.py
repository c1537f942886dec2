"""Groups of clips: a speaker, an action, an emotion; one to a clip."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rvq_core.clips.clip import Clip
from rvq_core.clips.facts import ClipFacts
from rvq_core.errors import ClipError
from rvq_core.limits import MEGABYTE, SETTINGS, refuse_beyond

COLUMNS = ("clip", "group")


class Grouped(NamedTuple):
    """``of_clip``: the group of each clip that has one, by its name; ``warnings`` on names that did not match."""

    of_clip: dict[str, str]
    warnings: tuple[str, ...]


def read_groups(path: str | Path) -> dict[str, str]:
    """Read a CSV with the columns ``clip`` and ``group`` (further ones do not count). Raises ClipError."""
    path = Path(path)
    try:
        refuse_beyond(SETTINGS, path.stat().st_size / MEGABYTE, path, ClipError)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in rows.fieldnames or []]
            rows.fieldnames = header
            if not set(COLUMNS) <= set(header):
                raise _no_groups(
                    path, ", ".join(header) or "an empty file", "a header line with the columns clip, group"
                )
            return _by_clip(path, rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        found = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise _no_groups(path, found or str(error), "a CSV file of text") from error


def _by_clip(path: Path, rows: csv.DictReader[str]) -> dict[str, str]:
    groups: dict[str, str] = {}
    for row in rows:
        clip, group = ((row[name] or "").strip() for name in COLUMNS)
        if not clip or not group:
            raise _no_groups(f"{path}: line {rows.line_num}", "an empty one", "a clip and its group")
        if groups.setdefault(clip, group) != group:
            raise _no_groups(
                f"{path}: line {rows.line_num}", f"{groups[clip]} and {group}", f"one group of {clip}",
            )  # fmt: skip
    if not groups:
        raise _no_groups(path, "a header alone", "a line for each clip")
    return groups


def group_clips(clips: Iterable[Clip | ClipFacts], groups: Mapping[str, str], where: str) -> Grouped:
    """Give each clip its group: by its name, its name without folder, its file's, or its file's without ending.

    Raises ClipError where no clip has one.
    """
    of_clip: dict[str, str] = {}
    met: set[str] = set()
    without: list[str] = []
    for clip in clips:
        found = next((name for name in _names_of(clip) if name in groups), None)
        if found is None:
            without.append(clip.name)
        else:
            met.add(found)
            of_clip[clip.name] = groups[found]
    if not of_clip:
        raise ClipError(
            f"{where}: clip",
            expected=f"names of the clips, such as {without[0] if without else 'walk'}",
            found=f"{len(groups)} others, such as {next(iter(groups), 'none')}",
            do="write the names as the report's table of clips has them, or as their files are called",
        )
    told = (
        (without, "clips without a group, in the overall figures only"),
        ([name for name in groups if name not in met], f"names in {Path(where).name} that no measured clip has"),
    )
    return Grouped(of_clip, tuple(f"{what}: {len(names)} ({_few(names)})" for names, what in told if names))


def _names_of(clip: Clip | ClipFacts) -> list[str]:
    names = [clip.name, clip.name.split("/")[-1]]
    return names if clip.source is None else [*names, clip.source.name, clip.source.stem]


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _no_groups(where: str | Path, found: str, expected: str) -> ClipError:
    return ClipError(str(where), expected=expected, found=found, do="write lines such as: 01_01,walking")
