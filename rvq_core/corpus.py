"""The clips of an analysis: held in memory (or on a shelf), or read from their files when they are needed."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rvq_core.clips.clip import Clip
from rvq_core.clips.facts import ClipFacts
from rvq_core.clips.load import LeftOut, nothing_read, read_file, unique_names
from rvq_core.clips.shelf import Shelf, one_by_one
from rvq_core.errors import ClipError
from rvq_core.given import refuse_no_clips
from rvq_core.ranks import Ranks
from rvq_core.shards import Shards, key_of, packed, unpacked

Fit = Callable[[Clip], Clip]

FILES_AT_ONCE = 16
"""Files that a rank reads before it asks for more: few enough that ranks end together."""


class Survey(NamedTuple):
    """The clips as the checkpoint takes them, and what could not be read or does not fit."""

    facts: list[ClipFacts]
    refused: list[LeftOut]


class Corpus(Protocol):
    """Where an analysis gets its clips from."""

    def survey(self, fit: Fit) -> Survey:
        """What clips there are. Raises ClipError where none is left."""
        ...

    def fitted(self, numbers: Sequence[int]) -> Iterator[Clip]:
        """The clips of these numbers in the survey, as the checkpoint takes them."""
        ...

    def identity(self, number: int) -> str:
        """What tells this clip from any other, without reading it where that is possible."""
        ...


class HeldClips:
    """Clips that are held, in memory or on a shelf."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self._clips = clips
        self._fitted: list[Clip] = []

    def survey(self, fit: Fit) -> Survey:
        """Fit all clips, each once."""
        self._fitted, refused = fit_all(fit, self._clips)
        return Survey([ClipFacts.of(clip) for clip in self._fitted], refused)

    def fitted(self, numbers: Sequence[int]) -> Iterator[Clip]:
        """The clips of these numbers; their memory is given back after each."""
        return one_by_one(self._fitted[number] for number in numbers)

    def identity(self, number: int) -> str:
        """The clip's own fingerprint."""
        return self._fitted[number].fingerprint


class _Place(NamedTuple):
    """Where a clip is: the number of its file, its place among the file's clips, its name in the corpus."""

    file: int
    clip: int
    name: str


@dataclass(slots=True)
class ClipFiles:
    """Clips of files that ``ranks`` read between them: each once for the survey, and once more when it is measured.

    What the survey finds goes into ``shards``. ``given`` are the paths that the user named, ``files`` those behind
    them; the rest as in ``read_clips``.
    """

    given: Sequence[Path]
    files: Sequence[Path]
    bone_map: Mapping[str, str] | None
    ranks: Ranks
    shards: Shards
    checkpoint: str
    _places: list[_Place] | None = None
    _facts: list[ClipFacts] | None = None
    _fit: Fit | None = None

    def survey(self, fit: Fit) -> Survey:
        """Read all files, between the ranks."""
        self._fit = fit
        starts = range(0, len(self.files), FILES_AT_ONCE)
        while (turn := self.ranks.take("survey", len(starts))) is not None:
            name, key = f"survey_{turn:06d}", self._key(starts[turn])
            if self.shards.load(name, key) is None:
                found = [self._told(file, fit) for file in self.files[starts[turn] : starts[turn] + FILES_AT_ONCE]]
                self.shards.save(name, key, {"files": packed(found)})
            self.ranks.finished("survey")
        self.ranks.wait("survey", len(starts))
        told: list[dict[str, Any]] = []
        for turn, start in enumerate(starts):
            arrays = self.shards.load(f"survey_{turn:06d}", self._key(start))
            if arrays is None:
                raise _changed(self.files[start])
            told += unpacked(arrays["files"])
        return self._planned(told)

    def fitted(self, numbers: Sequence[int]) -> Iterator[Clip]:
        """The clips of these numbers, read again. Raises ClipError where a file has changed since the survey."""
        assert self._places is not None and self._facts is not None and self._fit is not None
        held: tuple[int, list[Clip]] = (-1, [])
        for number in numbers:
            place, facts = self._places[number], self._facts[number]
            if held[0] != place.file:
                held = (place.file, read_file(self.files[place.file], bone_map=self.bone_map))
            if place.clip >= len(held[1]):
                raise _changed(self.files[place.file])
            clip = self._fit(replace(held[1][place.clip], name=place.name))
            if (clip.frames, clip.representation) != (facts.frames, facts.representation):
                raise _changed(self.files[place.file])
            yield clip

    def identity(self, number: int) -> str:
        """The clip's file, its size and time of change, and the clip's place in it."""
        assert self._places is not None
        place = self._places[number]
        return key_of(_stamp(self.files[place.file]), place.clip, place.name)

    def _key(self, start: int) -> str:
        stamps = [_stamp(file) for file in self.files[start : start + FILES_AT_ONCE]]
        return key_of("survey", self.checkpoint, stamps, None if self.bone_map is None else dict(self.bone_map))

    def _told(self, file: Path, fit: Fit) -> dict[str, Any]:
        """What is in a file: why it cannot be read, or of each clip its name, and its facts or why it does not fit."""
        try:
            clips = read_file(file, bone_map=self.bone_map)
        except ClipError as error:
            if list(self.given) == [file]:
                raise
            return {"reason": str(error)}
        found: list[dict[str, Any]] = []
        for clip in clips:
            source = None if clip.source is None else str(clip.source)
            try:
                found.append({"name": clip.name, "source": source, "facts": ClipFacts.of(fit(clip)).to_dict()})
            except ClipError as error:
                found.append({"name": clip.name, "source": source, "reason": str(error)})
        return {"clips": found}

    def _planned(self, told: list[dict[str, Any]]) -> Survey:
        """Names made unique over all clips that could be read; then those that fit."""
        unread = [LeftOut(file, one["reason"]) for file, one in zip(self.files, told, strict=True) if "reason" in one]
        every = [(f, c, clip) for f, one in enumerate(told) for c, clip in enumerate(one.get("clips", ()))]
        if not every:
            raise nothing_read(list(self.given), unread)
        sources = [None if clip["source"] is None else Path(clip["source"]) for _, _, clip in every]
        names = unique_names([(clip["name"], source) for (*_, clip), source in zip(every, sources, strict=True)])
        self._places, self._facts = [], []
        refused: list[LeftOut] = []
        for (file, number, clip), name, source in zip(every, names, sources, strict=True):
            if "reason" in clip:
                refused.append(LeftOut(source or Path(name), clip["reason"]))
            else:
                self._places.append(_Place(file, number, name))
                self._facts.append(replace(ClipFacts.from_dict(clip["facts"]), name=name))
        if not self._facts:
            raise _none_fits(refused)
        return Survey(list(self._facts), [*unread, *refused])


def fit_all(fit: Fit, clips: Sequence[Clip]) -> tuple[list[Clip], list[LeftOut]]:
    """Clips as the checkpoint takes them, and those it cannot take; raises ClipError where none is left."""
    refuse_no_clips(clips)
    if not clips:
        raise ClipError("clips", expected="at least one clip", found="none", do="give a file or a folder with motion")
    _refuse_equal_names(clips)
    fitted: list[Clip] = []
    refused: list[LeftOut] = []
    with Shelf() as shelf:
        for clip in one_by_one(clips):
            try:
                fitted.append(shelf.place(fit(clip)))
            except ClipError as error:
                if len(clips) == 1:
                    raise
                refused.append(LeftOut(clip.source or Path(clip.name), str(error)))
                warnings.warn(f"left out {clip.name}: {error}", stacklevel=4)
    if not fitted:
        raise _none_fits(refused)
    return fitted, refused


def _none_fits(refused: Sequence[LeftOut]) -> ClipError:
    return ClipError(
        "clips", expected="at least one that fits the checkpoint", found=f"{len(refused)} and none that fits",
        do=f"the first says: {refused[0].reason}",
    )  # fmt: skip


def _refuse_equal_names(clips: Sequence[Clip]) -> None:
    """Tables tell clips apart by name; load_clips makes names unique, lists put together by hand may not be."""
    name, times = Counter(clip.name for clip in clips).most_common(1)[0]
    if times > 1:
        raise ClipError(
            f"clips: {name}", expected="clips of different names", found=f"{times} of this name",
            do="read them with one call of load_clips, or rename them",
        )  # fmt: skip


def _stamp(file: Path) -> list[object]:
    """Path, size and time of change; of an AMC file those of the skeletons beside it too."""
    beside = sorted(file.parent.glob("*.asf")) if file.suffix.lower() == ".amc" else []
    found: list[object] = []
    for path in (file, *beside):
        try:
            state = path.stat()
            found += [str(path.resolve()), state.st_size, state.st_mtime_ns]
        except OSError:
            found.append(str(path))  # not there: reading it tells
    return found


def _changed(file: Path) -> ClipError:
    return ClipError(
        str(file), expected="the motion that was there when the run began", found="another",
        do="run the same command again when nothing is written there",
    )  # fmt: skip
