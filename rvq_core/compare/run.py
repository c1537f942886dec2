"""From checkpoints or finished reports to a comparison."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

import rvq_core
from rvq_core.analysis import Progress, analyze
from rvq_core.clips.clip import Clip
from rvq_core.clips.load import LeftOut
from rvq_core.compare.codes import match, no_matching, same_run
from rvq_core.compare.comparison import SCHEMA, Comparison
from rvq_core.compare.pair import no_clip_in_common
from rvq_core.compare.subjects import Refusal, Subject, comparable_metrics, shared_clips
from rvq_core.compare.summary import records, sentences
from rvq_core.compare.tables import (
    config_table,
    curves_table,
    equal_rate_table,
    layers_table,
    metrics_table,
    usage_table,
)
from rvq_core.counted import counted
from rvq_core.errors import SettingsError
from rvq_core.given import refuse_no_checkpoint
from rvq_core.loading.checkpoint import Checkpoint
from rvq_core.report import Report
from rvq_core.stats.metrics import CURVES

FEWEST = 2
"""Checkpoints of a comparison."""


def compare(
    subjects: Sequence[Checkpoint | Report],
    clips: Sequence[Clip] = (),
    *,
    names: Sequence[str] | None = None,
    codes: bool = True,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    left_out: Sequence[LeftOut] = (),
    command: str = "rvq_core.compare",
) -> Comparison:
    """Compare checkpoints (or finished reports) on the same clips; the first is the baseline.

    Checkpoints are analysed on ``clips``; reports stand as they are. Clips are known by their names: those that one
    does not have are left out, and told. What does not mean the same for two of them is in ``manifest["refused"]``
    with the reason. ``names``: what to call them, instead of the checkpoints' own names. ``codes``: whether their codes
    are matched too, which takes longest. Raises SettingsError for
    fewer than two, ClipError where they have no clip in common.
    """
    if len(subjects) < FEWEST:
        raise SettingsError(
            "compare", expected="two checkpoints or reports at least", found=str(len(subjects)), do="give another one"
        )
    if seed < 0:
        raise SettingsError("seed", expected="an integer >= 0", found=str(seed), do="choose another")
    for one in subjects:
        if not isinstance(one, Report):
            refuse_no_checkpoint(one)
    reports = [
        one
        if isinstance(one, Report)
        else analyze(one, clips, device=device, seed=seed, progress=progress, left_out=left_out, command=command)
        for one in subjects
    ]
    named = name_subjects(reports, names)
    shared, refused = shared_clips(named)
    if not shared:
        raise no_clip_in_common()
    tables, more, notes = _tables(named, shared, seed, codes)
    manifest = _manifest(named, shared, seed, command)
    manifest["refused"] = [refusal._asdict() for refusal in [*refused, *more]]
    manifest["notes"] = notes
    manifest["summary"] = sentences(tables["metrics"], named)
    manifest["results"] = records(tables, named)
    return Comparison(manifest, tables)


def name_subjects(reports: Sequence[Report], names: Sequence[str] | None = None) -> list[Subject]:
    """Reports under names of their own: of equal ones, the second is called 'name (2)', and so on."""
    named: dict[str, Subject] = {}
    given = [str(report.manifest["checkpoint"]["name"]) for report in reports] if names is None else names
    for name, report in zip(given, reports, strict=True):
        free, number = name, 1
        while free in named:
            number += 1
            free = f"{name} ({number})"
        named[free] = Subject(free, report)
    return list(named.values())


def _tables(
    subjects: Sequence[Subject], clips: Sequence[str], seed: int, codes: bool
) -> tuple[dict[str, pd.DataFrame], list[Refusal], list[str]]:
    """All tables, what was refused in making them, and what a reader must know."""
    baseline = subjects[0]
    parts: dict[str, list[pd.DataFrame]] = {
        "curves": [curves_table(baseline, CURVES, clips, seed)],
        "usage": [usage_table(baseline, clips)],
    }
    refused: list[Refusal] = []
    notes = [f"Compared on {counted(len(clips), 'clip')}, baseline {baseline.name}.", *_sizes(subjects)]
    unmatched = None if codes else no_matching()
    for subject in subjects[1:]:
        metrics, not_comparable = comparable_metrics(subject, baseline)
        refused += not_comparable
        matching = unmatched or match(subject, baseline, clips, seed)
        notes += _notes(subject, baseline, clips, matching.layers)
        tables = {
            "curves": curves_table(subject, metrics, clips, seed),
            "usage": usage_table(subject, clips),
            "metrics": metrics_table(subject, baseline, metrics, clips, seed),
            "layers": layers_table(subject, baseline, clips),
            "equal_rate": equal_rate_table(subject, baseline, metrics, clips, seed),
            "matching": matching.layers,
            "code_matches": matching.codes,
            "shared_moments": matching.moments,
        }
        for name, table in tables.items():
            parts.setdefault(name, []).append(table)
    whole = {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}
    return whole | {"config": config_table(subjects)}, refused, notes


def _sizes(subjects: Sequence[Subject]) -> Iterator[str]:
    """One sentence on all whose codebooks are not like the baseline's."""
    baseline, *others = subjects
    unlike = [subject.name for subject in others if subject.codes != baseline.codes]
    if unlike:
        yield (
            f"{', '.join(unlike)} {'has' if len(unlike) == 1 else 'have'} codebooks of other sizes or another number "
            f"of them than {baseline.name}: compare errors at equal bits, not at equal n."
        )


def _notes(subject: Subject, baseline: Subject, clips: Sequence[str], matching: pd.DataFrame) -> Iterator[str]:
    own, theirs = (sum(each.clips[clip].tokens for clip in clips) for each in (subject, baseline))
    if own != theirs:
        yield (
            f"{subject.name} has {own:,} tokens on these clips, {baseline.name} {theirs:,}: perplexity rises and "
            "unseen codes fall with the number of tokens alone; codes are matched at the nearest time."
        )
    unfair = [clip for clip in clips if {subject.trained_on(clip), baseline.trained_on(clip)} == {True, False}]
    if unfair:
        yield (
            f"{len(unfair)} of the clips were trained on by one of {subject.name} and {baseline.name} alone: the error "
            "on them favours that one."
        )
    if len(matching) == 0:
        return
    if same_run(subject, baseline, matching):
        yield (
            f"Code numbers of {subject.name} and {baseline.name} mean the same (one run, or one codebook): codes are "
            "matched by number."
        )
    else:
        yield (
            f"Code numbers mean nothing across {subject.name} and {baseline.name}: codes are matched by the moments "
            "that they share."
        )


def _manifest(subjects: Sequence[Subject], clips: Sequence[str], seed: int, command: str) -> dict[str, Any]:
    warned = [f"{subject.name}: {text}" for subject in subjects for text in subject.report.manifest.get("warnings", [])]
    # One entry for a clip that several left out for one reason.
    out = {
        (str(entry["clip"]), str(entry["reason"])): None
        for subject in subjects
        for entry in subject.report.manifest["left_out"]
    }
    return {
        "schema": SCHEMA,
        "rvq_lens": rvq_core.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "baseline": subjects[0].name,
        "checkpoints": [
            subject.checkpoint | {"name": subject.name, "clips_fingerprint": subject.clips_fingerprint}
            for subject in subjects
        ],
        "clips": {
            "count": len(clips),
            "seconds": round(sum(subjects[0].clips[clip].seconds for clip in clips), 6),
            "fingerprint": _fingerprint(subjects, clips),
            "names": list(clips),
        },
        "settings": {"seed": seed},
        "left_out": [{"clip": clip, "reason": reason} for clip, reason in out],
        "warnings": warned,
    }


def _fingerprint(subjects: Sequence[Subject], clips: Sequence[str]) -> str:
    """sha256 of what tells the compared clips: their names, and the fingerprints of the clips of each report."""
    told = [list(clips), [subject.clips_fingerprint for subject in subjects]]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
