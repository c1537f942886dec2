"""Figures beside those of every report: of codes, clips, maps and other runs. Page and command share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboard.export.clips import clip_figures, clip_number
from dashboard.export.codes import code_figures
from dashboard.export.registry import FigureEntry
from dashboard.export.runs import Run, run_figures
from rvq_core.errors import SettingsError
from rvq_core.report import Report

if TYPE_CHECKING:
    from dashboard.store import Store
    from rvq_core.clips import Clip
    from rvq_core.loading import Checkpoint
    from rvq_core.playback import Playback

Entries = list[FigureEntry[Report]]


@dataclass(frozen=True, slots=True)
class Further:
    """What is asked for: codes as (layer from 1, code), clips by name, UMAP by its seed, the density, other runs."""

    codes: tuple[tuple[int, int], ...] = ()
    clips: tuple[str, ...] = ()
    umap: int | None = None
    density: bool = False
    runs: tuple[Run, ...] = ()

    def words(self) -> list[str]:
        """The options of ``rvq-lens export`` that ask for the same; they name no checkpoint and no clips."""
        told = [word for layer, code in self.codes for word in ("--code", f"{layer}:{code}")]
        told += [word for name in self.clips for word in ("--clip", name)]
        told += [] if self.umap is None else ["--umap", *(["--seed", str(self.umap)] if self.umap else [])]
        told += ["--density"] if self.density else []
        return told + [word for run in self.runs for word in ("--over", str(run.path))]

    @property
    def kinds(self) -> list[str]:
        """Of what there are figures, in words."""
        maps = self.density or self.umap is not None
        told = {"codes": self.codes, "clips": self.clips, "maps": maps, "runs": self.runs}
        return [kind for kind, some in told.items() if some]

    @property
    def needs_checkpoint(self) -> bool:
        """Whether its figures need, or are more with, the report's checkpoint."""
        return bool(self.codes or self.clips or self.density or self.umap is not None)

    @property
    def needs_clips(self) -> bool:
        """Whether its figures need, or are more with, the clips that were analysed."""
        return bool(self.codes or self.clips or self.density)


@dataclass(frozen=True, slots=True)
class Material:
    """What the figures are made of: the report and, where they are at hand, its checkpoint and clips.

    ``store`` opens the place where the dashboard keeps coordinates.
    """

    report: Report
    checkpoint: Checkpoint | None = None
    clips: Sequence[Clip] | None = None
    store: Callable[[], Store] | None = None


def further_figures(asked: Further, given: Material) -> Entries:
    """The figures that are asked for, as far as what is given can show them.

    Maps need the checkpoint, that with the density clips too. Raises RVQLensError for what there is not.
    """
    entries = [*_codes(asked, given), *_clips(asked, given), *_maps(asked, given)]
    return entries + (run_figures(given.report, asked.runs) if asked.runs else [])


def _codes(asked: Further, given: Material) -> Entries:
    if given.checkpoint is None:
        return [entry for layer, code in asked.codes for entry in code_figures(layer, code)]
    from dashboard.code_poses import Held

    held = {layer: Held(given.checkpoint, given.report, given.clips or (), layer) for layer, _ in asked.codes}
    return [entry for layer, code in asked.codes for entry in code_figures(layer, code, held[layer])]


def _clips(asked: Further, given: Material) -> Entries:
    """Without a decoder, or of indices, the codes alone."""
    numbers = {name: clip_number(name, given.report) for name in asked.clips}
    playback = _playback(given, numbers)
    return [
        entry
        for name, number in numbers.items()
        for entry in clip_figures(number, given.report, playback(name))
    ]  # fmt: skip


def _playback(given: Material, names: Mapping[str, int]) -> Callable[[str], Playback | None]:
    """How a clip is played. Raises SettingsError where clips are given and one that is asked for is not among them."""
    ckpt = given.checkpoint
    if ckpt is None or given.clips is None or not names:
        return lambda _: None
    from rvq_core.clips.representations import TOKENS
    from rvq_core.playback import motion_of
    from rvq_core.tokens import Pipeline

    found = {clip.name: clip for clip in given.clips if clip.name in names}
    missing = [name for name in names if name not in found]
    if missing:
        raise SettingsError(
            "--clips", expected="the clips that --clip names", found=f"files without {', '.join(missing)}",
            do="name the file or folder that rvq-lens analyze was given",
        )  # fmt: skip
    pipeline = Pipeline(ckpt, "cpu")

    def play(name: str) -> Playback | None:
        clip = found[name]
        return None if ckpt.model is None or clip.representation == TOKENS.name else motion_of(pipeline, clip)

    return play


def _maps(asked: Further, given: Material) -> Entries:
    """Maps by UMAP, from the dashboard's store where they were computed there, and that with the density."""
    if given.checkpoint is None or (asked.umap is None and not asked.density):
        return []
    from dashboard.analyses import codebooks
    from dashboard.export.maps import density_figure, umap_figures

    books = codebooks(given.checkpoint)
    entries: Entries = []
    if asked.umap is not None:
        entries += umap_figures(books, asked.umap, None if given.store is None else given.store())
    if asked.density and given.clips is not None:
        entries.append(density_figure(given.checkpoint, given.clips, books))
    return entries
