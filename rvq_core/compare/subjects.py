"""What is compared: a report with its name, and what of it may be held against the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rvq_core.errors import some_of
from rvq_core.report import Report
from rvq_core.stats.layer_use import LayerUse, layer_use
from rvq_core.stats.metrics import CURVES, METRICS
from rvq_core.stats.reconstruction import by_clip
from rvq_core.stats.usage import count_codes

SAME_LENGTH = 1.5
"""Clips of one name are the same motion when their lengths differ by less than so many tokens of either."""


class Refusal(NamedTuple):
    """What is not compared, and why."""

    checkpoint: str
    what: str
    reason: str


class Held(NamedTuple):
    """A clip as a report holds it: its number there, frames at ``fps``, and tokens."""

    position: int
    frames: int
    fps: float
    tokens: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.fps

    @property
    def seconds_per_token(self) -> float:
        """Time that a token stands for."""
        return self.seconds / self.tokens


UNKNOWN_NORMALIZER = "not in this report"


@dataclass(frozen=True, eq=False)  # no slots: what several tables need is computed once and kept
class Subject:
    """One checkpoint of a comparison: its report, under a ``name`` that tells it from the others."""

    name: str
    report: Report

    @cached_property
    def clips(self) -> dict[str, Held]:
        """The report's clips by name, in their order."""
        table = self.report.clips
        figures = table[["frames", "fps", "tokens"]].to_numpy(dtype=np.float64).tolist()
        return {
            str(name): Held(position, int(frames), fps, int(tokens))
            for position, (name, (frames, fps, tokens)) in enumerate(zip(table["clip"], figures, strict=True))
        }

    @cached_property
    def _usage(self) -> dict[tuple[str, ...], list[LayerUse]]:
        return {}

    @cached_property
    def _errors(self) -> dict[tuple[str, tuple[str, ...]], pd.DataFrame]:
        return {}

    @cached_property
    def _all_errors(self) -> dict[str, pd.DataFrame]:
        return {metric: wide for metric, wide, _ in by_clip(self.report.clip_errors)}

    @cached_property
    def codes(self) -> list[int]:
        """K of each layer."""
        return [int(codes) for codes in self.report.layers["codes"]]

    @property
    def depth(self) -> int:
        """Q."""
        return len(self.codes)

    @property
    def checkpoint(self) -> dict[str, Any]:
        """The manifest's part on the checkpoint."""
        return self.report.manifest["checkpoint"]

    @property
    def clips_fingerprint(self) -> str | None:
        """Fingerprint of the report's clips."""
        return self.report.manifest["clips"].get("fingerprint")

    @property
    def normalizer(self) -> str | None:
        """Fingerprint of mean and scale, None for features taken as they are; UNKNOWN_NORMALIZER in older reports."""
        return self.checkpoint.get("normalizer_sha256", UNKNOWN_NORMALIZER)

    def tokens(self, clip: str) -> NDArray[np.integer[Any]]:
        """Tokens [T', Q] of a clip."""
        return self.report.tokens[self.clips[clip].position]

    def usage(self, clips: Sequence[str]) -> list[LayerUse]:
        """How each layer uses its codes on these clips; computed once."""
        key = tuple(clips)
        if key not in self._usage:
            self._usage[key] = [layer_use(self._counts(clips, layer)) for layer in range(self.depth)]
        return self._usage[key]

    def _counts(self, clips: Sequence[str], layer: int) -> NDArray[np.int64]:
        """Tokens of each clip on each code of a layer (0-based) [M, K]."""
        return np.stack([count_codes(self.tokens(clip)[:, layer], self.codes[layer]) for clip in clips])

    def trained_on(self, clip: str) -> bool | None:
        """Whether it was trained on a clip; None where its file does not tell."""
        held_out = self.report.clips["held_out"].tolist()[self.clips[clip].position]
        return None if pd.isna(held_out) else not held_out

    def seconds_per_token(self, clips: Sequence[str]) -> float:
        """Mean time that a token stands for, over clips."""
        held = [self.clips[clip] for clip in clips]
        return sum(each.seconds for each in held) / sum(each.tokens for each in held)

    def errors(self, metric: str, clips: Sequence[str]) -> pd.DataFrame:
        """Errors by clip (rows, in the order given) and number of active quantizers (columns, -1: unquantised)."""
        key = (metric, tuple(clips))
        if key not in self._errors:
            wide = self._all_errors[metric]
            self._errors[key] = wide.reindex(index=list(clips), columns=[-1, *range(self.depth + 1)])
        return self._errors[key]

    def weights(self, clips: Sequence[str]) -> NDArray[np.float64]:
        """Frames of each clip [M]."""
        return np.array([self.clips[clip].frames for clip in clips], dtype=np.float64)


def shared_clips(subjects: Sequence[Subject]) -> tuple[list[str], list[Refusal]]:
    """Names of the clips that all subjects have, in the baseline's order, and why others are not compared."""
    baseline, refused = subjects[0], []
    shared = list(baseline.clips)
    for subject in subjects[1:]:
        missing = [name for name in baseline.clips if name not in subject.clips]
        more = [name for name in subject.clips if name not in baseline.clips]
        if missing:
            refused.append(Refusal(subject.name, f"clips {some_of(missing)}", "not in this checkpoint's report"))
        if more:
            refused.append(Refusal(subject.name, f"clips {some_of(more)}", f"not in the report of {baseline.name}"))
        other = [name for name in shared if name in subject.clips and not _same_length(name, baseline, subject)]
        if other:
            reason = "clips of this name differ in length: not the same motion, or cut by max_frames"
            refused.append(Refusal(subject.name, f"clips {some_of(other)}", reason))
        shared = [name for name in shared if name in subject.clips and name not in other]
    return shared, refused


def comparable_metrics(subject: Subject, baseline: Subject) -> tuple[list[str], list[Refusal]]:
    """Metrics that mean the same for both, and why the others do not."""
    held = [set(each.report.clip_errors["metric"]) & set(CURVES) for each in (subject, baseline)]
    both = [name for name in CURVES if name in held[0] & held[1]]
    refused = [
        Refusal(subject.name, name, f"measured for {subject.name if name in held[0] else baseline.name} alone")
        for name in CURVES
        if name in held[0] ^ held[1]
    ]
    for what, found in (("representations", _kinds), ("widths of the features", _width)):
        one, other = found(subject), found(baseline)
        if one != other and both:
            reason = f"{what} differ: {_told(one)}, {baseline.name} {_told(other)}; an error is not of the same thing"
            return [], [*refused, Refusal(subject.name, "reconstruction errors", reason)]
    reasons = _not_comparable(subject, baseline)
    refused += [Refusal(subject.name, name, reasons[name]) for name in both if name in reasons]
    return [name for name in both if name not in reasons], refused


def _not_comparable(subject: Subject, baseline: Subject) -> dict[str, str]:
    """Metrics that do not mean the same for both, and why."""
    found: dict[str, str] = {}
    if not _same_normalizer(subject, baseline):
        unknown = UNKNOWN_NORMALIZER in (subject.normalizer, baseline.normalizer)
        found["feature_mse"] = (
            "a finished report of an earlier version does not tell mean and std: compare the checkpoint itself"
            if unknown
            else "features are normalised by other means and stds"
        )
    one, other = _rates(subject), _rates(baseline)
    if one != other:
        told = f"frames per second differ: {_told(one)}, {baseline.name} {_told(other)}; it depends on them"
        found |= dict.fromkeys((metric.name for metric in METRICS if metric.rate_bound), told)
    return found


def _same_normalizer(subject: Subject, baseline: Subject) -> bool:
    if subject.checkpoint["sha256"] == baseline.checkpoint["sha256"]:
        return True
    return subject.normalizer == baseline.normalizer != UNKNOWN_NORMALIZER


def _same_length(clip: str, baseline: Subject, subject: Subject) -> bool:
    one, other = baseline.clips[clip], subject.clips[clip]
    longest = max(one.seconds_per_token, other.seconds_per_token)
    return abs(one.seconds - other.seconds) < SAME_LENGTH * longest


def _kinds(subject: Subject) -> object:
    table = subject.report.clips
    return sorted(set(table["representation"])) if "representation" in table else subject.checkpoint["representation"]


def _width(subject: Subject) -> object:
    return (subject.checkpoint["config"] or {}).get("input_dim")


def _rates(subject: Subject) -> object:
    return sorted({round(float(fps), 4) for fps in subject.report.clips["fps"].dropna()})


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
