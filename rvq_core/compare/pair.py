"""The codes of two reports, without a whole comparison: what a page of one pair shows."""

from __future__ import annotations

from rvq_core.compare.codes import Matching, match
from rvq_core.compare.subjects import Subject, shared_clips
from rvq_core.errors import ClipError
from rvq_core.report import Report


def match_pair(report: Report, baseline: Report, names: tuple[str, str], seed: int = 0) -> Matching:
    """Match the codes of a report and its baseline, under ``names``. Raises ClipError without a clip in common."""
    own, base = (Subject(name, each) for name, each in zip(names, (report, baseline), strict=True))
    return match(own, base, _shared(own, base), seed)


def _shared(subject: Subject, baseline: Subject) -> list[str]:
    clips, _ = shared_clips([baseline, subject])
    if not clips:
        raise no_clip_in_common()
    return clips


def no_clip_in_common() -> ClipError:
    """Nothing to compare on."""
    return ClipError(
        "compare", expected="clips that all have", found="none of the same name and length",
        do="analyze them on the same clips",
    )  # fmt: skip
