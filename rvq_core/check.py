"""Limits for CI and training loops: a report passes, or the check says which limit was passed in which layer.

The JSON is documented and versioned in docs/compare.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self, cast

import rvq_core
from rvq_core.counted import counted
from rvq_core.errors import SettingsError
from rvq_core.report import Report
from rvq_core.stats.metrics import UNITS
from rvq_core.stats.reconstruction import errors_by_split
from rvq_core.verdicts import SEVERITIES, Thresholds, verdicts
from rvq_core.verdicts.facts import Facts
from rvq_core.verdicts.findings import number
from rvq_core.verdicts.thresholds import is_number, read_toml

SCHEMA = 1
"""Version of the JSON."""

FAIL_ON = ("never", *SEVERITIES[:2])
"""Verdicts of which severity, or a worse one, fail the check."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold; None is not checked. ``max_mpjpe`` and the like are with all quantizers, over all clips.

    ``max_unseen`` and ``min_perplexity_ratio`` compare with what as many tokens would show if all codes were used
    evenly, on the stored training counts where the checkpoint has them, else on the clips. ``max_top1_share``,
    ``max_duplicates`` and ``max_ema_dead`` are shares of tokens and of codes. ``max_held_out_ratio`` is the error of
    held-out clips over that of training clips. ``fail_on`` lets verdicts fail too.
    """

    max_unseen: float | None = 0.5
    min_perplexity_ratio: float | None = 0.1
    max_top1_share: float | None = None
    max_duplicates: float | None = None
    max_ema_dead: float | None = None
    max_mpjpe: float | None = None
    max_feature_mse: float | None = None
    max_velocity_error: float | None = None
    max_rotation_error: float | None = None
    max_held_out_ratio: float | None = None
    fail_on: str = "never"

    def changed(self, values: Mapping[str, Any], where: str) -> Self:
        """These limits with others by name. Raises SettingsError that names ``where`` and the limit."""
        known = [field.name for field in fields(self)]
        for name, value in values.items():
            if name not in known:
                raise SettingsError(
                    f"{where}: {name}", expected="a limit: " + ", ".join(known), found=repr(name),
                    do="remove or rename it",
                )  # fmt: skip
            fits = value in FAIL_ON if name == "fail_on" else is_number(value) and value >= 0
            if not fits:
                raise SettingsError(
                    f"{where}: {name}", expected=" or ".join(FAIL_ON) if name == "fail_on" else "a number >= 0",
                    found=repr(value), do="change this limit",
                )  # fmt: skip
        return replace(self, **dict(values))


@dataclass(frozen=True, slots=True)
class Check:
    """One limit on one layer (1-based), or on the whole checkpoint (None)."""

    check: str
    layer: int | None
    passed: bool
    value: float
    threshold: float
    measured_on: str

    @property
    def line(self) -> str:
        """The outcome in words."""
        where = "" if self.layer is None else f" in layer {self.layer}"
        bound = "at most" if self.check.startswith("max") else "at least"
        outcome = "passed" if self.passed else "failed"
        return f"{outcome}: {self.check}{where}: {self.value:.4g}, {bound} {self.threshold:g} (on {self.measured_on})"


@dataclass(frozen=True, slots=True, eq=False)
class CheckResult:
    """What was checked, and whether it holds. ``verdicts`` are the report's findings at the same thresholds."""

    checks: tuple[Check, ...]
    verdicts: list[dict[str, Any]]
    limits: Limits
    manifest: dict[str, Any]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.passed]

    @property
    def failing_verdicts(self) -> list[dict[str, Any]]:
        """The verdicts that ``fail_on`` counts as failures."""
        counted = SEVERITIES[: FAIL_ON.index(self.limits.fail_on)]
        return [verdict for verdict in self.verdicts if verdict["severity"] in counted]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return not self.failed and not self.failing_verdicts

    def scalars(self) -> dict[str, float]:
        """Every figure by name, for a training log: ``max_unseen/layer_1``, ``max_mpjpe``, ..."""
        return {
            check.check + ("" if check.layer is None else f"/layer_{check.layer}"): check.value for check in self.checks
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of the JSON."""
        checkpoint, clips = self.manifest["checkpoint"], self.manifest["clips"]
        return {
            "schema": SCHEMA,
            "rvq_lens": rvq_core.__version__,
            "passed": self.passed,
            "checkpoint": {name: checkpoint[name] for name in ("name", "file", "format", "sha256")},
            "clips": {name: clips[name] for name in ("count", "frames", "seconds", "fingerprint")},
            "limits": asdict(self.limits),
            "checks": [asdict(check) | {"value": number(check.value)} for check in self.checks],
            "failed": [asdict(check) | {"value": number(check.value)} for check in self.failed],
            "failing_verdicts": [verdict["rule"] for verdict in self.failing_verdicts],
            "verdicts": self.verdicts,
        }

    def json(self) -> str:
        """The JSON, as ``rvq-lens check --json`` prints it."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def check(report: Report, limits: Limits | None = None, thresholds: Thresholds | None = None) -> CheckResult:
    """Hold a report against limits.

    Verdicts are found at ``thresholds``, with ``max_unseen`` and ``min_perplexity_ratio`` of the limits. Raises
    SettingsError for a limit on what the report does not hold (``max_mpjpe`` without a skeleton).
    """
    limits = limits or Limits()
    thresholds = with_limits(thresholds or Thresholds(), limits)
    facts = Facts(report, thresholds)
    found = [*_usage_checks(facts, limits), *_error_checks(report, limits)]
    return CheckResult(tuple(found), verdicts(report, thresholds), limits, report.manifest)


def with_limits(thresholds: Thresholds, limits: Limits) -> Thresholds:
    """The thresholds with those limits in their place that are thresholds too."""
    shared = {name: getattr(limits, name) for name in ("max_unseen", "min_perplexity_ratio")}
    return thresholds.changed({name: value for name, value in shared.items() if value is not None})


def read_limits(path: Path) -> tuple[Limits, Thresholds]:
    """Limits of a TOML file, and the thresholds of verdicts in its table ``verdicts``. Raises SettingsError."""
    values = read_toml(path)
    of_verdicts = values.pop("verdicts", {})
    if not isinstance(of_verdicts, dict):
        raise SettingsError(
            f"{path}: verdicts", expected="a table of thresholds", found=repr(of_verdicts), do="write [verdicts]"
        )
    limits = Limits().changed(values, str(path))
    return limits, Thresholds().changed(cast(dict[str, Any], of_verdicts), f"{path}: verdicts")


def _usage_checks(facts: Facts, limits: Limits) -> Iterator[Check]:
    for use in facts.use:
        if limits.max_unseen is not None:
            yield _at_most("max_unseen", use.layer, use.unseen_share, limits.max_unseen, use.measured_on)
        if limits.min_perplexity_ratio is not None:
            ratio, least = use.perplexity_ratio.value, limits.min_perplexity_ratio
            yield Check("min_perplexity_ratio", use.layer, ratio >= least, ratio, least, use.measured_on)
        if limits.max_top1_share is not None:
            yield _at_most("max_top1_share", use.layer, use.top1_share, limits.max_top1_share, use.measured_on)
    if limits.max_duplicates is not None:
        table = facts.report.layers
        for layer, share in zip(table["layer"], table["duplicates"] / table["codes"], strict=True):
            yield _at_most("max_duplicates", int(layer), float(share), limits.max_duplicates, "the codebooks")
    if limits.max_ema_dead is not None:
        if facts.ema_counts is None:
            raise _unmeasured("max_ema_dead", "EMA counts in the checkpoint", "none")
        for layer, counts in enumerate(facts.ema_counts, start=1):
            share = float((counts < facts.reset_threshold).mean())
            yield _at_most("max_ema_dead", layer, share, limits.max_ema_dead, "the EMA counts in the checkpoint")


def _error_checks(report: Report, limits: Limits) -> Iterator[Check]:
    overall = report.overall
    clips = counted(report.manifest["clips"]["count"], "clip")
    full = overall[overall["n_active"] == overall["n_active"].max()].set_index("metric")["value"].dropna()
    for metric in UNITS:
        limit = getattr(limits, f"max_{metric}", None)
        if limit is None:
            continue
        if metric not in full.index:
            raise _unmeasured(f"max_{metric}", f"clips that {metric} can be measured on", _held(full.index))
        yield _at_most(f"max_{metric}", None, float(full[metric]), limit, clips)
    if limits.max_held_out_ratio is not None:
        yield _held_out_check(report, limits.max_held_out_ratio)


def _held_out_check(report: Report, limit: float) -> Check:
    split = errors_by_split(report.clips, report.clip_errors)
    for metric in ("mpjpe", "feature_mse"):
        rows = split[split["metric"] == metric]
        errors = dict(zip(rows["held_out"], rows["value"].to_numpy(dtype=float).tolist(), strict=True))
        clips = dict(zip(rows["held_out"], rows["clips"], strict=True))
        if errors.keys() == {True, False} and errors[False] > 0:
            measured_on = f"{clips[True]} held-out and {clips[False]} training clips, {metric}"
            return _at_most("max_held_out_ratio", None, errors[True] / errors[False], limit, measured_on)
    raise _unmeasured("max_held_out_ratio", "clips held out of training and clips of it", "one kind alone, or none")


def _at_most(name: str, layer: int | None, value: float, limit: float, measured_on: str) -> Check:
    return Check(name, layer, value <= limit, value, limit, measured_on)


def _unmeasured(name: str, expected: str, found: str) -> SettingsError:
    return SettingsError(name, expected=expected, found=found, do="drop this limit, or give what it needs")


def _held(metrics: Any) -> str:
    return ", ".join(metrics) or "no reconstruction"
