"""An analysis as the dashboard asks for it: what it depends on, its key in the store, and how it is done.

Shared by the pages, which look for the result, and by the worker, which computes it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dashboard.opened import Analysed, Subject
from dashboard.store import Store, key_of
from rvq_core.clips import Clip, ClipSet
from rvq_core.clips.groups import group_clips, read_groups
from rvq_core.clips.representations import UNDECODED
from rvq_core.errors import ClipError
from rvq_core.loading import Checkpoint
from rvq_core.loading.checkpoint import was_held_out
from rvq_core.parts.load import PartSet
from rvq_core.parts.report import PartsReport
from rvq_core.report import SCHEMA, Report

TrainedOn = tuple[frozenset[str], frozenset[str]]
"""Names of the clips that a checkpoint was trained on, and of those held out."""

Progress = Callable[[int, int, str], None]

REPORTS, PART_REPORTS = "reports", "part_reports"
"""Kinds of entries in the store."""

COMMAND = "rvq-lens dash"


class Facts(NamedTuple):
    """What the pages must know of a checkpoint, or of a set, to find its report: no file need be open for it."""

    identity: str
    path: Path
    name: str
    file: str
    notes: tuple[str, ...]
    runs_motion: bool
    trained_on: tuple[TrainedOn, ...]
    parts: tuple[str, ...] = ()


class Groups(NamedTuple):
    """Groups by the names that their file gives to clips, and why there are none where a file does not suit."""

    named: Mapping[str, str] = {}
    refused: str | None = None


def facts_of(subject: Subject) -> Facts:
    """Gather them from what was opened."""
    trained_on = trained_on_of(subject)
    if isinstance(subject, PartSet):
        file, notes, parts = subject.path.name, subject.notes, tuple(subject.parts)
        return Facts(identity(subject), subject.path, subject.name, file, notes, True, trained_on, parts)
    notes = tuple(subject.notes)
    runs = subject.model is not None
    return Facts(identity(subject), subject.path, subject.name, subject.path.name, notes, runs, trained_on)


def trained_on_of(subject: Subject) -> tuple[TrainedOn, ...]:
    """What each checkpoint of it was trained on."""
    opened = subject.parts.values() if isinstance(subject, PartSet) else [subject]
    return tuple(ckpt.trained_on for ckpt in opened)


def identity(subject: Subject) -> str:
    """What the figures depend on: the file and how it was read; of a set, its parts and what its report calls them."""
    if isinstance(subject, PartSet):
        told = [(part, identity(ckpt), ckpt.name, ckpt.path.name, ckpt.notes) for part, ckpt in subject.parts.items()]
        return hashlib.sha256(repr((subject.name, subject.notes, told)).encode()).hexdigest()
    read_as = (subject.sha256, subject.format, subject.config, subject.representation, subject.fps)
    digest = hashlib.sha256(repr(read_as).encode())
    if subject.normalizer is not None:
        digest.update(subject.normalizer.mean.numpy().tobytes() + subject.normalizer.std.numpy().tobytes())
    return digest.hexdigest()


def codebooks(ckpt: Checkpoint) -> list[NDArray[np.float32]]:
    """The codebooks [K_q, C] of a checkpoint."""
    return [codebook.detach().cpu().float().numpy() for codebook in ckpt.codebooks]


_identities: WeakKeyDictionary[Clip, str] = WeakKeyDictionary()


def identity_of_clip(clip: Clip) -> str:
    """sha256 over all that a clip holds: features, path, skeleton, and where it came from. Computed once."""
    if clip not in _identities:
        skeleton = clip.skeleton
        rest = (clip.notes, None if clip.source is None else clip.source.name)
        bones = None if skeleton is None else (skeleton.names, skeleton.parents)
        digest = hashlib.sha256(repr((clip.fingerprint, rest, bones)).encode())
        for array in (clip.translation, None if skeleton is None else skeleton.offsets):
            digest.update(b"\0" if array is None else repr(array.shape).encode() + array.tobytes())
        _identities[clip] = digest.hexdigest()
    return _identities[clip]


def identity_of_clips(clips: Sequence[Clip]) -> str:
    """sha256 over all clips, in their order."""
    return hashlib.sha256("".join(map(identity_of_clip, clips)).encode()).hexdigest()


def need_no_encoder(chosen: ClipSet) -> bool:
    """Whether all clips are latents or indices."""
    return all(clip.representation in UNDECODED for clip in chosen.clips)


def held_out(name: str, trained_on: Sequence[TrainedOn], chosen: ClipSet) -> ClipSet:
    """Those of the clips that all checkpoints of a subject name as held out. Raises ClipError where there is none."""
    kept: list[Clip] = [
        clip for clip in chosen.clips if all(was_held_out(names, clip.name) is True for names in trained_on)
    ]
    if not kept:
        count = max(len(held) for _, held in trained_on)
        raise ClipError(
            f"clips held out from {name}",
            expected="at least one of these clips",
            found=f"none of the {count} it names" if count else "no list of them in this checkpoint",
            do="choose 'all' in the sidebar, or other clips",
        )
    return ClipSet(kept, chosen.left_out, chosen.warnings)


def groups_from(path: Path | None, chosen: ClipSet) -> Groups:
    """The groups of clips in a file; the analysis goes on without those of a file that does not suit."""
    if path is None:
        return Groups()
    try:
        named = read_groups(path)
        group_clips(chosen.clips, named, str(path))
    except ClipError as error:
        return Groups(refused=f"No groups are shown. {error}")
    return Groups(named)


def report_key(subject: str, chosen: ClipSet, grouped: Groups) -> str:
    """Key of the report of what has the identity ``subject`` on these clips."""
    return key_of(
        {
            "what": "report",
            "report_schema": SCHEMA,
            "subject": subject,
            "clips": identity_of_clips(chosen.clips),
            "left_out": [[str(path), reason] for path, reason in chosen.left_out],
            "warnings": list(chosen.warnings),
            "groups": [sorted(grouped.named.items()), grouped.refused],
        }
    )


def find_report(store: Store, key: str, facts: Facts) -> Analysed | None:
    """The report under a key; that of one checkpoint with the name and the notes that it has here."""
    if facts.parts:
        return store.find(PART_REPORTS, key, PartsReport.load)
    report = store.find(REPORTS, key, Report.load)
    if report is not None:
        report.manifest["checkpoint"] |= {"name": facts.name, "file": facts.file, "notes": list(facts.notes)}
    return report


def keep_report(store: Store, key: str, report: Analysed) -> None:
    """Keep a report under its key. Raises OSError."""
    store.put(REPORTS if isinstance(report, Report) else PART_REPORTS, key, report.write_into)


def analyse(subject: Subject, chosen: ClipSet, grouped: Groups, progress: Progress) -> Analysed:
    """Analyse the clips with a checkpoint, or with those of body parts. Raises RVQLensError."""
    # Imported here: the pages look for results and do not compute them.
    from rvq_core.analysis import analyze
    from rvq_core.parts.analysis import analyze_parts

    options: dict[str, Any] = {
        "progress": progress,
        "left_out": chosen.left_out,
        "warned": chosen.warnings if grouped.refused is None else (*chosen.warnings, grouped.refused),
        "groups": grouped.named or None,
        "command": COMMAND,
    }
    with warnings.catch_warnings():
        # Clips left out stand in the manifest, and the page lists them.
        warnings.filterwarnings("ignore", message="left out")
        if isinstance(subject, PartSet):
            return analyze_parts(subject, chosen.clips, **options)
        return analyze(subject, chosen.clips, **options)
