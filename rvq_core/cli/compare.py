"""``rvq-lens compare``: several checkpoints on the same clips, the first as the baseline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.parts import is_part_set
from rvq_core.cli.shared import (
    add_clip_reading,
    progress_bar,
    quiet_warnings,
    read_clips_of,
    refuse_useless,
    rows,
    tell_all_left_out,
)
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from rvq_core.clips.load import ClipSet
    from rvq_core.compare import Comparison
    from rvq_core.loading import Checkpoint
    from rvq_core.report import Report


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("compare", help="compare checkpoints on the same clips; the first is the baseline")
    parser.add_argument(
        "subjects", type=Path, nargs="+", metavar="CKPT", help="checkpoints, or reports that rvq-lens analyze wrote"
    )
    parser.add_argument(
        "--clips", type=Path, nargs="+", default=[], metavar="CLIPS", help="motion files, or folders of them"
    )
    add_clip_reading(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the comparison (needed unless --json)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the content of report.json alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the comparison, print a summary of it."""
    from rvq_core.compare import compare

    refuse_useless(options, "compare", "comparison")
    subjects = [_open(path) for path in options.subjects]
    clips = _read_clips(options, subjects)
    with progress_bar("clips") as progress, quiet_warnings():
        comparison = compare(
            subjects,
            clips.clips if clips else (),
            device=options.device,
            seed=options.seed,
            progress=progress,
            left_out=clips.left_out if clips else (),
            command=options.command_line,
        )
    tell_all_left_out(comparison.manifest)
    if options.out is not None:
        comparison.save(options.out)
    print(comparison.json().rstrip("\n") if options.json else _summary(comparison, options.out))
    return 0


def _open(path: Path) -> Checkpoint | Report:
    """A finished report where the folder holds one, else a checkpoint."""
    from rvq_core.loading import load_checkpoint
    from rvq_core.report import MANIFEST, Report

    if is_part_set(path):
        raise SettingsError(
            f"rvq-lens compare {path}", expected="checkpoints or reports of one model each",
            found="a folder of several checkpoints",
            do="compare part with part: name the file of the same part of each set, or reports of them",
        )  # fmt: skip
    return Report.load(path) if (path / MANIFEST).is_file() else load_checkpoint(path)


def _read_clips(options: argparse.Namespace, subjects: list[Checkpoint | Report]) -> ClipSet | None:
    """The clips that checkpoints are run on; None where all are finished reports."""
    from rvq_core.report import Report

    if all(isinstance(subject, Report) for subject in subjects):
        return None
    if not options.clips:
        raise SettingsError(
            "rvq-lens compare", expected="--clips CLIPS for checkpoints", found="none",
            do="name motion files, or compare finished reports",
        )  # fmt: skip
    return read_clips_of(options)


def _summary(comparison: Comparison, out: Path | None) -> str:
    """What differs, in a few lines."""
    manifest, tables = comparison.manifest, comparison.tables
    lines = [f"baseline: {comparison.baseline}", *manifest["summary"], ""]
    layers = tables["layers"]
    for row in rows(layers[(layers["figure"] == "perplexity") & layers["significant"].fillna(False)]):
        lines.append(
            f"{row['checkpoint']}: perplexity of layer {row['layer']} {row['words']}, {row['value']:.1f} against "
            f"{row['baseline']:.1f}"
        )
    for setting, values in tables["config"].groupby("setting", sort=False):
        told = ", ".join(f"{row['checkpoint']} {row['value']}" for row in rows(values))
        lines.append(f"config {setting}: {told}")
    lines += [f"not compared: {each['what']} of {each['checkpoint']}: {each['reason']}" for each in comparison.refused]
    told = [(kind, text) for kind in ("warning", "note") for text in manifest[f"{kind}s"]]
    lines += ["", *(f"{kind}: {text}" for kind, text in told), f"comparison: {out}"]
    return "\n".join(lines)
