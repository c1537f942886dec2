"""Figures of ``rvq-lens export`` beside those of every report: of codes, clips, maps and other runs that are named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from dashboard.export.registry import FigureEntry
    from dashboard.export.sources import Source
    from rvq_core.clips import Clip
    from rvq_core.loading import Checkpoint
    from rvq_core.report import Report


def add_further(parser: argparse.ArgumentParser) -> None:
    """Declare the options that ask for further figures."""
    more = parser.add_argument_group("figures of what is named")
    more.add_argument(
        "--code", action="append", default=[], metavar="LAYER:CODE", help="figures of this code too; may be repeated"
    )
    more.add_argument(
        "--clip", action="append", default=[], metavar="NAME", help="figures of this clip over time; may be repeated"
    )
    more.add_argument("--umap", action="store_true", help="maps by UMAP too (needs --checkpoint; takes some seconds)")
    more.add_argument("--seed", type=int, default=0, metavar="N", help="of UMAP (default: 0)")
    more.add_argument(
        "--density", action="store_true",
        help="a map with what the encoder gives behind the codes (needs --checkpoint and --clips)",
    )  # fmt: skip
    more.add_argument(
        "--over", type=Path, action="append", default=[], metavar="PATH",
        help="lay the training of this report, checkpoint or run folder over that of REPORT; may be repeated",
    )  # fmt: skip
    more.add_argument(
        "--checkpoint", type=Path, metavar="CKPT",
        help="that of the report: codes are drawn as poses too and, with --clips, the error of clips over time",
    )  # fmt: skip
    more.add_argument(
        "--clips", type=Path, nargs="+", metavar="PATH", help="files or folders that the report was made of"
    )
    more.add_argument("--bone-map", type=Path, metavar="FILE", help="of --clips, as rvq-lens analyze was given it")


def further_figures(source: Source, options: argparse.Namespace) -> list[FigureEntry[Any]]:
    """The figures that were asked for. Raises RVQLensError for what there is not."""
    from rvq_core.report import Report

    asked = {"--code": options.code, "--clip": options.clip, "--umap": options.umap, "--density": options.density,
             "--over": options.over}  # fmt: skip
    asked = [option for option, given in asked.items() if given]
    if not asked:
        return []
    if not isinstance(source, Report):
        raise SettingsError(
            asked[0], expected="the report of one checkpoint", found="a comparison or a set of body parts",
            do="analyse the checkpoint, or the part, alone and export that report",
        )  # fmt: skip
    given = _Given(source, options)
    return [*_codes(given), *_clips(given), *_maps(given), *_runs(given)]


class _Given:
    """The report and what was said of its checkpoint and clips; each is opened when it is first needed."""

    def __init__(self, report: Report, options: argparse.Namespace) -> None:
        self.report = report
        self.options = options
        self._checkpoint: Checkpoint | None = None

    def checkpoint(self, option: str) -> Checkpoint:
        """The report's checkpoint. Raises SettingsError for another one, or none."""
        from rvq_core.loading import load_checkpoint

        path: Path | None = self.options.checkpoint
        if path is None:
            raise SettingsError(
                option, expected="--checkpoint CKPT", found="none", do="name the file that was analysed"
            )
        if self._checkpoint is None:
            self._checkpoint = load_checkpoint(path)
        wanted = self.report.manifest["checkpoint"]
        if self._checkpoint.sha256 != wanted["sha256"]:
            raise SettingsError(
                "--checkpoint", expected=f"that of the report ({wanted['file']}, sha256 {wanted['sha256'][:12]}...)",
                found=f"{path}, sha256 {self._checkpoint.sha256[:12]}...", do="name the file that was analysed",
            )  # fmt: skip
        return self._checkpoint

    def clips(self, option: str) -> list[Clip]:
        """What ``--clips`` names. Raises SettingsError without."""
        from rvq_core.clips.load import read_clips

        if self.options.clips is None:
            raise SettingsError(
                option, expected="--clips PATH", found="none", do="name the files that rvq-lens analyze was given"
            )
        return read_clips(self.options.clips, bone_map=self.options.bone_map).clips


def _codes(given: _Given) -> list[FigureEntry[Any]]:
    from dashboard.export.codes import code_figures, read_code

    asked = [read_code(text, given.report) for text in dict.fromkeys(given.options.code)]
    if given.options.checkpoint is None or not asked:
        return [entry for layer, code in asked for entry in code_figures(layer, code)]
    from dashboard.code_poses import Held

    ckpt, report = given.checkpoint("--code"), given.report
    return [entry for layer, code in asked for entry in code_figures(layer, code, Held(ckpt, report, (), layer))]


def _clips(given: _Given) -> list[FigureEntry[Any]]:
    from dashboard.export.clips import clip_figures, clip_number

    report, options = given.report, given.options
    numbers = {name: clip_number(name, report) for name in options.clip}
    if not numbers or options.checkpoint is None or options.clips is None:
        return [entry for number in numbers.values() for entry in clip_figures(number, report)]
    from rvq_core.playback import motion_of
    from rvq_core.tokens import Pipeline

    pipeline = Pipeline(given.checkpoint("--clip"), "cpu")
    found = {clip.name: clip for clip in given.clips("--clip") if clip.name in numbers}
    missing = [name for name in numbers if name not in found]
    if missing:
        places = ", ".join(map(str, options.clips))
        raise SettingsError(
            "--clips", expected="the clips that --clip names", found=f"{places} without {', '.join(missing)}",
            do="name the file or folder that rvq-lens analyze was given",
        )  # fmt: skip
    return [
        entry
        for name, number in numbers.items()
        for entry in clip_figures(number, report, motion_of(pipeline, found[name]))
    ]


def _maps(given: _Given) -> list[FigureEntry[Any]]:
    """Maps by UMAP, from the dashboard's store where they were computed there, and that with the density."""
    if not (given.options.umap or given.options.density):
        return []
    from dashboard.analyses import codebooks
    from dashboard.export.maps import density_figure, umap_figures
    from dashboard.store import open_store

    entries: list[FigureEntry[Any]] = []
    if given.options.umap:
        entries += umap_figures(codebooks(given.checkpoint("--umap")), given.options.seed, open_store())
    if given.options.density:
        ckpt = given.checkpoint("--density")
        entries.append(density_figure(ckpt, given.clips("--density"), codebooks(ckpt)))
    return entries


def _runs(given: _Given) -> list[FigureEntry[Any]]:
    if not given.options.over:
        return []
    from dashboard.export.runs import history_at, run_figures

    return run_figures(given.report, [history_at(path) for path in given.options.over])
