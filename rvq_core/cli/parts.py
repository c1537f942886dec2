"""``rvq-lens analyze`` of a folder with the checkpoints of several body parts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rvq_core.cli.clip_lines import clip_lines
from rvq_core.cli.shared import rows
from rvq_core.counted import counted
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from rvq_core.parts import PartSet, PartsReport

OF_ONE_FILE = ("mean", "std")
OF_ALL = ("activation", "norm", "dilation_growth_rate")
SHOWN = ("mpjpe", "mpjpe_hands", "rotation_error")


def is_part_set(path: Path) -> bool:
    """Whether a path is a folder that holds several checkpoints."""
    if not path.is_dir():
        return False
    from rvq_core.parts import checkpoint_files

    try:
        return len(checkpoint_files(path)) > 1
    except PermissionError:
        return False  # who then opens it as one checkpoint is told


def open_part_set(options: argparse.Namespace) -> PartSet:
    """Open the folder as a set. Raises SettingsError for options that only one file can have."""
    from rvq_core.parts import load_part_set

    given = [f"--{name.replace('_', '-')}" for name in OF_ONE_FILE if getattr(options, name) is not None]
    if given:
        raise SettingsError(
            ", ".join(given), expected="one checkpoint", found="a folder of several", do="name the file that is meant"
        )
    return load_part_set(options.checkpoint, **{name: getattr(options, name) for name in OF_ALL})


def parts_summary(report: PartsReport, out: Path | None) -> str:
    """A few lines for the terminal: the whole body, each part in it and by itself."""
    clips = report.manifest["clips"]
    parts = ", ".join(f"{part} ({told['name']})" for part, told in report.manifest["parts"].items())
    lines = [
        f"{report.manifest['set']['name']}: {parts}",
        f"{counted(clips['count'], 'clip')}, {counted(clips['frames'], 'frame')}, {clips['seconds']:.1f} s",
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
