"""``rvq-lens analyze`` of a folder with the checkpoints of several body parts."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rvq_core.cli.clip_lines import clip_lines
from rvq_core.cli.shared import progress_bar, read_clips_of, rows, tell_left_out
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from rvq_core.parts import PartsReport
    from rvq_core.verdicts import Thresholds

OF_ONE_FILE = ("activation", "norm", "dilation_growth_rate", "mean", "std")
SHOWN = ("mpjpe", "mpjpe_hands", "rotation_error")


def is_part_set(path: Path) -> bool:
    """Whether a path is a folder that holds several checkpoints."""
    if not path.is_dir():
        return False
    from rvq_core.parts import checkpoint_files

    return len(checkpoint_files(path)) > 1


def run_parts(options: argparse.Namespace, thresholds: Thresholds) -> int:
    """Write the report of a set, print a summary of it."""
    from rvq_core.analysis import DETAIL_FRAMES
    from rvq_core.parts import analyze_parts, load_part_set

    given = [f"--{name.replace('_', '-')}" for name in OF_ONE_FILE if getattr(options, name) is not None]
    if given:
        raise SettingsError(
            ", ".join(given), expected="one checkpoint", found="a folder of several", do="name the file that is meant"
        )
    part_set = load_part_set(options.checkpoint)
    clips = read_clips_of(options)
    with progress_bar("clips") as progress, warnings.catch_warnings():
        # What is warned about stands in the manifest, which is told line by line below.
        warnings.simplefilter("ignore")
        report = analyze_parts(
            part_set,
            clips.clips,
            device=options.device,
            max_frames=options.max_frames,
            detail_frames=DETAIL_FRAMES if options.detail_frames is None else options.detail_frames,
            seed=options.seed,
            progress=progress,
            left_out=clips.left_out,
            warned=clips.warnings,
            groups=options.groups,
            thresholds=thresholds,
            command=options.command_line,
        )
    for entry in report.manifest["left_out"]:
        tell_left_out(entry["clip"], entry["reason"])
    if options.out is not None:
        report.save(options.out)
    print(report.json().rstrip("\n") if options.json else _summary(report, options.out))
    return 0


def _summary(report: PartsReport, out: Path | None) -> str:
    """A few lines for the terminal: the whole body, each part in it and by itself."""
    clips = report.manifest["clips"]
    parts = ", ".join(f"{part} ({told['name']})" for part, told in report.manifest["parts"].items())
    lines = [
        f"{report.manifest['set']['name']}: {parts}",
        f"{clips['count']} clips, {clips['frames']} frames, {clips['seconds']:.1f} s",
        "",
        *clip_lines(report.clips),
        "",
        "with all quantizers     metric                  value   (95 %)             unquantised",
    ]
    for part in dict.fromkeys(report.errors["part"]):
        lines += _part_lines(report, part)
    lines.append("")
    for part, own in report.parts.items():
        numbers = " ".join(f"{value:.1f}" for value in own.layers["perplexity"])
        lines.append(f"{part}: perplexity by layer {numbers}, of {own.layers['codes'].max()} codes")
    told = [(kind, text) for kind in ("warning", "note") for text in report.manifest[f"{kind}s"]]
    return "\n".join([*lines, "", *(f"{kind}: {text}" for kind, text in told), f"report: {out}"])


def _part_lines(report: PartsReport, part: str) -> list[str]:
    table = report.errors
    own = table[(table["part"] == part) & table["group"].isna() & table["metric"].isin(SHOWN)]
    full = own[own["n_active"] == own.groupby("posed")["n_active"].transform("max")]
    lines: list[str] = []
    for row in rows(full):
        place = f"{part}, alone" if row["posed"] == "alone" else part
        unit = row["unit"]
        known = row["low"] == row["low"]
        interval = f"({row['low']:.4g} to {row['high']:.4g})" if known else "(one clip)"
        lines.append(
            f"  {place:<22}{row['metric']:<18}{row['value']:>10.4g} {unit:<4}{interval:<19}"
            f"{row['reference']:>8.4g} {unit}"
        )
    return lines
