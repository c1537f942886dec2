"""``rvq-lens check``: exit 1 where a checkpoint passes a limit, and say in which layer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rvq_core.cli.parts import is_part_set, open_part_set
from rvq_core.cli.shared import add_checkpoint, add_clips, measured, open_checkpoint

if TYPE_CHECKING:
    from rvq_core.check import CheckResult, Limits
    from rvq_core.verdicts import Thresholds

FAILED = 1

NO_DETAIL = 0
"""Frames of leave-one-out and beam search: no limit is on what they tell."""

FLAGS = {
    "max_unseen": "share of a layer's codes never chosen (default: 0.5)",
    "min_perplexity_ratio": "perplexity over that of even use (default: 0.1)",
    "max_top1_share": "share of the tokens on one code",
    "max_duplicates": "share of codes that lie on another",
    "max_ema_dead": "share of codes below the reset threshold",
    "max_mpjpe": "mm, with all quantizers",
    "max_feature_mse": "with all quantizers",
    "max_velocity_error": "mm/s, with all quantizers",
    "max_rotation_error": "degrees, with all quantizers",
    "max_held_out_ratio": "error of held-out clips over that of training clips",
}
"""Limits that are numbers, each a flag."""


def add_to(commands: Any) -> None:
    """Declare the command and its arguments."""
    parser = commands.add_parser("check", help="hold a checkpoint against limits: exit 1 and say which layer fails")
    add_checkpoint(parser)
    add_clips(parser)
    limits = parser.add_argument_group("limits")
    for name, meaning in FLAGS.items():
        limits.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="X", help=meaning)
    limits.add_argument(
        "--fail-on", metavar="SEVERITY", help="verdicts that fail too: never (default), severe, warning"
    )
    limits.add_argument("--config", type=Path, metavar="FILE", help="limits as TOML; flags go before it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check and tell; 1 where something failed. A set of body parts passes where each of them does."""
    from rvq_core.analysis import analyze
    from rvq_core.check import check

    limits, thresholds = _limits(options)
    if is_part_set(options.checkpoint):
        from rvq_core.parts import analyze_parts

        reports = measured(options, partial(analyze_parts, open_part_set(options)), detail_frames=NO_DETAIL).parts
        return _tell_parts({part: check(own, limits, thresholds) for part, own in reports.items()}, options.json)
    report = measured(options, partial(analyze, open_checkpoint(options)), detail_frames=NO_DETAIL)
    result = check(report, limits, thresholds)
    print(result.json() if options.json else _summary(result))
    return 0 if result.passed else FAILED


def _tell_parts(results: Mapping[str, CheckResult], as_json: bool) -> int:
    import json

    from rvq_core.check import SCHEMA

    passed = all(result.passed for result in results.values())
    if as_json:
        parts = {part: result.to_dict() for part, result in results.items()}
        told = {"schema": SCHEMA, "passed": passed, "parts": parts}
        print(json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(f"{part}: {line}" for part, own in results.items() for line in _summary(own).splitlines()))
    return 0 if passed else FAILED


def _limits(options: argparse.Namespace) -> tuple[Limits, Thresholds]:
    """The limits of the file, changed by flags."""
    from rvq_core.check import Limits, read_limits
    from rvq_core.verdicts import Thresholds

    limits, thresholds = (Limits(), Thresholds()) if options.config is None else read_limits(options.config)
    given = {name: getattr(options, name) for name in (*FLAGS, "fail_on") if getattr(options, name) is not None}
    return limits.changed(given, "rvq-lens check"), thresholds


def _summary(result: CheckResult) -> str:
    """Failures first, then how many passed and the verdicts."""
    lines = [check.line for check in result.failed]
    lines += [f"failed: {verdict['severity']} verdict {verdict['rule']}" for verdict in result.failing_verdicts]
    passed = len(result.checks) - len(result.failed)
    lines.append(f"{result.manifest['checkpoint']['name']}: {passed} of {len(result.checks)} checks passed")
    lines += [f"{verdict['severity']}: {verdict['finding']}" for verdict in result.verdicts]
    return "\n".join(lines)
