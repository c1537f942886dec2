"""Figures of ``rvq-lens export`` beside those of every report: of codes, clips, maps and other runs that are named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.shared import add_clip_reading, add_reading, open_checkpoint, read_clips_of
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from dashboard.export.further import Further
    from dashboard.export.registry import FigureEntry
    from dashboard.export.sources import Source
    from rvq_core.clips import Clip
    from rvq_core.loading import Checkpoint
    from rvq_core.report import Report

CHANGED_BY = ("activation", "norm", "dilation_growth_rate")
"""What options say of a checkpoint's config."""


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
    made_of = parser.add_argument_group("what these are made of, as rvq-lens analyze was given it")
    made_of.add_argument(
        "--checkpoint", type=Path, metavar="CKPT",
        help="that of the report: codes are drawn as poses too and, with --clips, the error of clips over time",
    )  # fmt: skip
    made_of.add_argument("--clips", type=Path, nargs="+", metavar="PATH", help="files or folders of motion")
    add_clip_reading(parser)
    add_reading(parser)


def further_of(source: Source, options: argparse.Namespace) -> list[FigureEntry[Any]]:
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
    from dashboard.export.further import Material, further_figures
    from dashboard.store import open_store

    further = _further(source, options)
    ckpt, clips = _checkpoint(source, further, options), _clips(further, options)
    return further_figures(further, Material(source, ckpt, clips, open_store))


def _further(report: Report, options: argparse.Namespace) -> Further:
    """What is asked for, and that what it needs is named."""
    from dashboard.export.clips import clip_number
    from dashboard.export.codes import read_code
    from dashboard.export.further import Further
    from dashboard.export.runs import run_at

    for option, wanted in (("--umap", options.umap), ("--density", options.density)):
        if wanted and options.checkpoint is None:
            raise SettingsError(
                option, expected="--checkpoint CKPT", found="none", do="name the file that was analysed"
            )
    if options.density and options.clips is None:
        raise SettingsError(
            "--density", expected="--clips PATH", found="none", do="name the files that rvq-lens analyze was given"
        )
    for name in options.clip:
        clip_number(name, report)
    return Further(
        codes=tuple(dict.fromkeys(read_code(text, report) for text in options.code)),
        clips=tuple(dict.fromkeys(options.clip)),
        umap=options.seed if options.umap else None,
        density=options.density,
        runs=tuple(map(run_at, options.over)),
    )


def _checkpoint(report: Report, further: Further, options: argparse.Namespace) -> Checkpoint | None:
    """The report's checkpoint, where it is named and used. Raises SettingsError for another one, or another reading."""
    if options.checkpoint is None or not further.needs_checkpoint:
        return None
    ckpt, wanted = open_checkpoint(options), report.manifest["checkpoint"]
    if ckpt.sha256 != wanted["sha256"]:
        raise SettingsError(
            "--checkpoint", expected=f"that of the report ({wanted['file']}, sha256 {wanted['sha256'][:12]}...)",
            found=f"{options.checkpoint}, sha256 {ckpt.sha256[:12]}...", do="name the file that was analysed",
        )  # fmt: skip
    config = {} if ckpt.config is None else ckpt.config.to_dict()
    pairs = {name: ((wanted["config"] or {}).get(name), config.get(name)) for name in CHANGED_BY}
    normalizer = None if ckpt.normalizer is None else ckpt.normalizer.sha256
    pairs["mean and std"] = (wanted.get("normalizer_sha256", normalizer), normalizer)
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differing:
        raise SettingsError(
            "--checkpoint", expected=f"it read as for the report ({_told(differing, 0)})", found=_told(differing, 1),
            do="give the options that rvq-lens analyze was given (--activation, --mean, ...)",
        )  # fmt: skip
    return ckpt


def _told(pairs: dict[str, tuple[Any, Any]], which: int) -> str:
    """Settings as they are in the report (0), or as they were read (1)."""
    return ", ".join(f"{name} {str(pair[which])[:12]}" for name, pair in pairs.items())


def _clips(further: Further, options: argparse.Namespace) -> list[Clip] | None:
    if options.clips is None or not further.needs_clips:
        return None
    return read_clips_of(options).clips
