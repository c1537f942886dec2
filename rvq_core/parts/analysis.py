"""From a set of body parts and clips to a report: each part by itself, and the body that they make together."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import rvq_core
from rvq_core.analysis import DETAIL_FRAMES, analyze, grouped_clips
from rvq_core.clips.clip import Clip, fingerprint
from rvq_core.clips.fit import cut_clip
from rvq_core.clips.load import LeftOut
from rvq_core.clips.shelf import one_by_one
from rvq_core.clips.smplx import JOINT_NAMES
from rvq_core.corpus import fit_all
from rvq_core.errors import SettingsError
from rvq_core.measure import CAVEATS, ClipErrors, ErrorRow, measure_clip
from rvq_core.one_pass import Progress
from rvq_core.parts.load import PartSet
from rvq_core.parts.report import WHOLE, PartsReport
from rvq_core.parts.whole_body import WholeBody
from rvq_core.report import SCHEMA, Report
from rvq_core.stats.reconstruction import JointErrors, clip_columns, overall, reconstruction_table
from rvq_core.subset import limit_clips, limit_frames, subset_notes
from rvq_core.verdicts import SEVERITIES, Thresholds

TOGETHER, ALONE = "together", "alone"


def analyze_parts(
    part_set: PartSet,
    clips: Sequence[Clip],
    *,
    device: str = "auto",
    max_frames: int | None = None,
    detail_frames: int = DETAIL_FRAMES,
    error_clips: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    left_out: Sequence[LeftOut] = (),
    warned: Sequence[str] = (),
    groups: Mapping[str, str] | str | Path | None = None,
    thresholds: Thresholds | None = None,
    command: str = "rvq_core.parts.analyze_parts",
) -> PartsReport:
    """Run clips of the whole body through the checkpoints of its parts, and measure them together and one by one.

    The settings are those of ``analyze``. Every part sees the same frames. Raises ClipError where no clip is left.
    """
    if seed < 0:
        raise SettingsError("seed", expected="an integer >= 0", found=str(seed), do="choose another")
    body = WholeBody(part_set, device)
    all_fitted, refused = fit_all(body.fit, clips)
    fitted = limit_frames(all_fitted, max_frames, seed, lambda _: body.whole_stride, cut_clip, setting="max_frames")
    decoded = limit_clips(fitted, error_clips, seed, setting="error_clips")
    grouped = grouped_clips(fitted, groups)
    steps = len(decoded) + len(fitted) * len(part_set.parts)
    measured = list(_together(body, decoded, progress or (lambda _done, _total, _what: None), steps))
    parts: dict[str, Report] = {}
    for number, (part, checkpoint) in enumerate(part_set.parts.items(), start=1):
        told = None if progress is None else _shifted(progress, len(decoded) + (number - 1) * len(fitted), steps, part)
        parts[part] = analyze(
            checkpoint,
            fitted,
            device=device,
            detail_frames=detail_frames,
            error_clips=error_clips,
            seed=seed,
            progress=told,
            groups=grouped.of_clip or None,
            thresholds=thresholds,
            command=command,
        )
    rows = pd.DataFrame([row for one in measured for row in one.rows], columns=list(ErrorRow._fields))
    settings = {"device": body.device.type, "max_frames": max_frames, "seed": seed, "error_clips": error_clips}
    manifest = _manifest(body, fitted, [*left_out, *refused], command)
    manifest["settings"] = settings
    manifest["warnings"] = [*warned, *grouped.warnings, *_warnings_of(parts)]
    manifest["notes"] += [*part_set.notes, *subset_notes("Only a random subset was", all_fitted, fitted)]
    manifest["notes"] += subset_notes("Errors: only a random subset was", fitted, decoded)
    manifest["verdicts"] = _verdicts(parts)
    joints = [joint for one in measured for joint in one.joints]
    return PartsReport(
        manifest=manifest,
        errors=_errors(part_set, rows, joints, parts, grouped.of_clip, seed),
        clips=_clips_table(part_set, fitted, rows, grouped.of_clip),
        clip_errors=rows,
        parts=parts,
    )


def _together(body: WholeBody, clips: Sequence[Clip], progress: Progress, steps: int) -> Iterator[ClipErrors]:
    """Errors of each clip with all parts at once: the first of all ``steps``."""
    for done, clip in enumerate(one_by_one(clips)):
        progress(done, steps, clip.name)
        yield measure_clip(body, body.encode(clip))


def joint_rows(found: Sequence[JointErrors], names: set[str]) -> pd.DataFrame:
    """Clip errors (clip, n_active, metric, value, weight) over the joints of ``names`` alone: their mean."""
    rows: list[tuple[object, ...]] = []
    for one in found:
        own = [number for number, name in enumerate(one.joints) if name in names]
        if own:
            means = one.values[:, own].mean(axis=1)
            rows += [
                (one.clip, n, one.metric, float(value), one.weight)
                for n, value in zip(one.n_active, means, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(ErrorRow._fields))


def _errors(
    part_set: PartSet,
    rows: pd.DataFrame,
    joints: Sequence[JointErrors],
    parts: Mapping[str, Report],
    groups: dict[str, str],
    seed: int,
) -> pd.DataFrame:
    tables = [reconstruction_table(rows, seed, groups=groups or None).assign(part=WHOLE, posed=TOGETHER)]
    for part, numbers in part_set.joints.items():
        own = joint_rows(joints, {JOINT_NAMES[number] for number in numbers})
        tables.append(reconstruction_table(own, seed, groups=groups or None).assign(part=part, posed=TOGETHER))
    tables += [overall(report.reconstruction).assign(part=part, posed=ALONE) for part, report in parts.items()]
    table = pd.concat([table for table in tables if len(table)], ignore_index=True).drop(columns="joint")
    return table[["part", "posed", *(name for name in table.columns if name not in ("part", "posed"))]]


def _clips_table(part_set: PartSet, clips: list[Clip], rows: pd.DataFrame, groups: dict[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "clip": [clip.name for clip in clips],
            "frames": [clip.frames for clip in clips],
            "seconds": [clip.seconds for clip in clips],
            "fps": [clip.fps for clip in clips],
            "held_out": pd.array([part_set.held_out(clip.name) for clip in clips], dtype="boolean"),
            "group": pd.array([groups.get(clip.name) for clip in clips], dtype="string"),
            "notes": ["; ".join(clip.notes) for clip in clips],
        }
    )
    return table.join(clip_columns(rows, part_set.depth), on="clip")


def _verdicts(parts: Mapping[str, Report]) -> list[dict[str, Any]]:
    """Those of all parts, each with its part, the worst first."""
    found = [{"part": part, **each} for part, report in parts.items() for each in report.manifest["verdicts"]]
    return sorted(found, key=lambda verdict: SEVERITIES.index(verdict["severity"]))


def _warnings_of(parts: Mapping[str, Report]) -> list[str]:
    return [f"{part}: {told}" for part, report in parts.items() for told in report.manifest["warnings"]]


def _shifted(progress: Progress, by: int, of: int, part: str) -> Progress:
    def tell(done: int, total: int, what: str) -> None:
        del total  # of the part alone
        progress(by + done, of, f"{part}: {what}")

    return tell


def _manifest(body: WholeBody, clips: list[Clip], left_out: Sequence[LeftOut], command: str) -> dict[str, Any]:
    part_set = body.part_set
    return {
        "schema": SCHEMA,
        "rvq_lens": rvq_core.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "parts": {
            part: {"name": ckpt.name, "file": ckpt.path.name, "format": ckpt.format, "sha256": ckpt.sha256}
            for part, ckpt in part_set.parts.items()
        },
        "set": {"name": part_set.name, "fps": body.fps, "depth": part_set.depth},
        "clips": {
            "count": len(clips),
            "frames": sum(clip.frames for clip in clips),
            "seconds": round(sum(clip.seconds for clip in clips), 6),
            "fingerprint": fingerprint(one_by_one(clips)),
        },
        "left_out": [{"clip": str(path), "reason": reason} for path, reason in left_out],
        "notes": [CAVEATS["smplx_rot6d"]],
    }
