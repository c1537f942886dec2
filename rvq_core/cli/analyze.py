"""``rvq-lens analyze``: run clips through a checkpoint and write a report."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.clip_lines import clip_lines
from rvq_core.cli.parts import is_part_set, open_part_set, parts_summary
from rvq_core.cli.shared import (
    AnyReport,
    add_checkpoint,
    add_clips,
    clip_files_of,
    launched_with_others,
    measured,
    open_checkpoint,
    progress_bar,
    quiet_warnings,
    refuse_useless,
    rows,
    tell_all_left_out,
)
from rvq_core.counted import counted
from rvq_core.errors import SettingsError

if TYPE_CHECKING:
    from rvq_core.report import Report
    from rvq_core.verdicts import Thresholds

VERDICTS_TOLD = 5
"""Verdicts that the terminal shows, the worst first; all stand in report.json."""


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("analyze", help="run clips through a checkpoint and write a report")
    add_checkpoint(parser)
    add_clips(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (needed unless --json)")
    parser.add_argument("--groups", type=Path, metavar="FILE.csv", help="clip,group: usage and error by group as well")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="measure a random subset of this many frames")
    parser.add_argument(
        "--detail-frames",
        type=int,
        metavar="N",
        help="frames for leave-one-out and beam search (default: 10000; 0: none)",
    )  # fmt: skip
    parser.add_argument(
        "--error-clips",
        type=int,
        metavar="N",
        help="decode and measure errors on this many random clips (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the subset and of the intervals (default: 0)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="thresholds of the verdicts, the TOML file of rvq-lens check"
    )
    parser.add_argument(
        "--threshold", action="append", default=[], metavar="NAME=X", help="one of them (docs/verdicts.md), repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print the content of report.json alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report, print a summary of it."""
    from rvq_core.analysis import analyze

    refuse_useless(options, "analyze", "report")
    thresholds = _thresholds(options)
    if is_part_set(options.checkpoint):
        from rvq_core.parts import analyze_parts

        if launched_with_others():
            raise SettingsError(
                str(options.checkpoint), expected="one checkpoint, where several ranks share the clips",
                found="a folder of several", do="analyze each by itself, or start without torchrun",
            )  # fmt: skip
        return _report(options, thresholds, partial(analyze_parts, open_part_set(options)), parts_summary)
    if launched_with_others():
        return _between_ranks(options, thresholds)
    return _report(options, thresholds, partial(analyze, open_checkpoint(options)), _summary)


def _between_ranks(options: argparse.Namespace, thresholds: Thresholds) -> int:
    """The same on one of several ranks: the first one writes the report and tells of it."""
    from rvq_core.analysis import analyze_shared
    from rvq_core.ranks import rank_device, ranks_of_torchrun
    from rvq_core.shards import Shards

    if options.out is None:
        raise SettingsError(
            "--out", expected="a folder that all ranks see", found="none", do="say where the report goes"
        )
    out = options.out.resolve()
    with ranks_of_torchrun() as ranks:
        shards = Shards(out.with_name(f"{out.name}.shards"))
        shards.begin(ranks)
        checkpoint = open_checkpoint(options)
        corpus, told = clip_files_of(options, checkpoint, ranks, shards)
        with progress_bar("clips", shown=ranks.first) as progress, quiet_warnings():
            report = analyze_shared(
                checkpoint,
                corpus,
                (ranks, shards),
                device=rank_device(options.device),
                seed=options.seed,
                progress=progress,
                warned=told,
                command=options.command_line,
                **_settings(options, thresholds),
            )
        if report is not None:
            tell_all_left_out(report.manifest)
            _finish(options, report, _summary)
            shards.remove()
    return 0


def _report(
    options: argparse.Namespace,
    thresholds: Thresholds,
    measure: Callable[..., AnyReport],
    summary: Callable[[AnyReport, Path | None], str],
) -> int:
    """Measure the clips with ``analyze`` or its like, write the report, print its summary."""
    _finish(options, measured(options, measure, **_settings(options, thresholds)), summary)
    return 0


def _settings(options: argparse.Namespace, thresholds: Thresholds) -> dict[str, Any]:
    """What is measured, as ``analyze`` is told it."""
    from rvq_core.analysis import DETAIL_FRAMES

    return {
        "max_frames": options.max_frames,
        "detail_frames": DETAIL_FRAMES if options.detail_frames is None else options.detail_frames,
        "error_clips": options.error_clips,
        "groups": options.groups,
        "thresholds": thresholds,
    }


def _finish(options: argparse.Namespace, report: AnyReport, summary: Callable[[AnyReport, Path | None], str]) -> None:
    """Write the report and tell of it."""
    if options.out is not None:
        report.save(options.out)
    print(report.json().rstrip("\n") if options.json else summary(report, options.out))


def _thresholds(options: argparse.Namespace) -> Thresholds:
    """Those of the file, changed by flags."""
    from rvq_core.check import read_limits, with_limits
    from rvq_core.verdicts import Thresholds

    thresholds = Thresholds()
    if options.config is not None:
        limits, thresholds = read_limits(options.config)
        thresholds = with_limits(thresholds, limits)
    return thresholds.changed(dict(map(_named_number, options.threshold)), "--threshold")


def _named_number(text: str) -> tuple[str, float]:
    name, sign, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError as error:
        raise SettingsError(
            "--threshold", expected="NAME=NUMBER", found=repr(text), do=f"write {name if sign else 'max_unseen'}=0.3"
        ) from error


def _summary(report: Report, out: Path | None) -> str:
    """A few lines for the terminal: what was measured, a row a layer, the error at full depth."""
    clips, checkpoint = report.manifest["clips"], report.manifest["checkpoint"]
    lines = [
        f"{checkpoint['name']} ({checkpoint['format']}) on {counted(clips['count'], 'clip')}, "
        f"{counted(clips['frames'], 'frame')}, {clips['seconds']:.1f} s, "
        f"{counted(int(report.layers['tokens'].iloc[0]), 'token')} a layer",
        "",
        "layer   codes  unseen  perplexity  (95 %)             residual energy",
    ]
    for row in rows(report.layers):
        known = row["perplexity_low"] == row["perplexity_low"]
        interval = f"({row['perplexity_low']:.1f} to {row['perplexity_high']:.1f})" if known else "(under 5 clips)"
        lines.append(
            f"{row['layer']:>5}{row['codes']:>8}{row['unseen']:>8}{row['perplexity']:>12.1f}  {interval:<18}"
            f"{_or_none(row['residual_energy'], '.3f'):>14}"
        )
    lines += ["", *clip_lines(report.clips), ""]
    full = report.overall.query("n_active == n_active.max()")
    for row in rows(full):
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        lines.append(
            f"{row['metric']}: {_or_none(row['value'], '.4g', unit)} with all quantizers, "
            f"{_or_none(row['reference'], '.4g', unit)} unquantised"
        )
    lines += [*_split_lines(report), *_group_lines(report)]
    told = [(kind, text) for kind in ("warning", "note") for text in report.manifest[f"{kind}s"]]
    lines += _verdict_lines(report)
    lines += ["", *(f"{kind}: {text}" for kind, text in told), f"report: {out}"]
    return "\n".join(lines)


def _verdict_lines(report: Report) -> list[str]:
    """The worst verdicts and what to try; where notes are all there is, how many."""
    found = report.manifest["verdicts"]
    worst = [verdict for verdict in found if verdict["severity"] != "note"][:VERDICTS_TOLD]
    lines = [""] if found else ["", "verdicts: none"]
    for verdict in worst:
        lines += [f"{verdict['severity']}: {verdict['finding']}", f"  try: {verdict['advice']}"]
    left = len(found) - len(worst)
    return lines + ([f"verdicts: {left} {'more ' if worst else ''}in report.json"] if left else [])


def _split_lines(report: Report) -> list[str]:
    """The error at full depth of held-out and of training clips apart, where the checkpoint tells them."""
    from rvq_core.stats.reconstruction import errors_by_split

    split = errors_by_split(report.clips, report.clip_errors)
    told = split[split["metric"].isin(["mpjpe", "feature_mse"])].sort_values("held_out", ascending=False, kind="stable")
    return [
        f"  {row['metric']} of the {counted(row['clips'], 'held-out clip' if row['held_out'] else 'training clip')}: "
        f"{row['value']:.4g}{' mm' if row['metric'] == 'mpjpe' else ''}"
        for row in rows(told)
    ]


def _group_lines(report: Report) -> list[str]:
    """The error of each group at full depth, and its lowest corrected perplexity, where groups were given."""
    if "group_usage" not in report.tables:
        return []
    table = report.reconstruction
    metric, unit = ("mpjpe", " mm") if "mpjpe" in set(table["metric"]) else ("feature_mse", "")
    full = table[table["group"].notna() & (table["metric"] == metric) & (table["n_active"] == table["n_active"].max())]
    errors = dict(zip(full["group"], full["value"], strict=True))
    lines: list[str] = []
    for group, usage in report.tables["group_usage"].groupby("group"):
        first = usage.iloc[0]
        error = f", {metric} {errors[group]:.4g}{unit}" if group in errors else ""
        lines.append(
            f"  group {group}: {counted(first['clips'], 'clip')}, {counted(first['tokens'], 'token')}{error}; "
            f"layer 1 perplexity {first['perplexity']:.1f}, {first['only_here']} codes of its own"
        )
    return lines


def _or_none(value: float, form: str, unit: str = "") -> str:
    return "none" if value != value else f"{value:{form}}{unit}"
