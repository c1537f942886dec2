"""What a page looks at: a checkpoint, or a set of body parts of which most pages show one part."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dashboard.settings import Reading
from rvq_core.errors import CheckpointError, SettingsError
from rvq_core.loading import Checkpoint, load_checkpoint
from rvq_core.parts.load import PartSet, load_part_set
from rvq_core.parts.report import PartsReport
from rvq_core.report import Report

Subject = Checkpoint | PartSet
"""What can be chosen in the sidebar."""

Analysed = Report | PartsReport
"""What analysing it gives."""


def open_subject(path: str | Path, reading: Reading) -> Subject:
    """Open a checkpoint, or the folder of a set of body parts, read as the user says. Raises RVQLensError."""
    if not Path(path).is_dir():
        return load_checkpoint(path, **reading._asdict())
    if reading.mean is not None or reading.std is not None:
        raise SettingsError(
            "mean and std", expected="one checkpoint", found="a set of body parts",
            do="choose the file of one part in the sidebar, or take the statistics away",
        )  # fmt: skip
    return load_part_set(
        path, activation=reading.activation, norm=reading.norm, dilation_growth_rate=reading.dilation_growth_rate
    )


class Opened(NamedTuple):
    """One checkpoint to show: ``part`` of ``subject`` where that is a set, else the subject itself (None)."""

    subject: Subject
    part: str | None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint."""
        return self.subject if isinstance(self.subject, Checkpoint) else self.subject.parts[str(self.part)]

    def report_in(self, analysed: Analysed) -> Report:
        """The checkpoint's report in that of the subject."""
        return report_of(analysed, self.part)


def report_of(analysed: Analysed, part: str | None) -> Report:
    """The report of a checkpoint, of a set that of ``part``."""
    return analysed if isinstance(analysed, Report) else analysed.parts[str(part)]


def of_part(subject: Subject, part: str | None) -> Opened:
    """``subject`` beside a checkpoint that is ``part`` of a set, or none of any (None): of a set the same part.

    Raises CheckpointError where the set has no such part.
    """
    if isinstance(subject, Checkpoint):
        return Opened(subject, None)
    refuse_part(subject.name, tuple(subject.parts), part)
    return Opened(subject, part)


def refuse_part(name: str, present: tuple[str, ...], part: str | None) -> None:
    """Raise CheckpointError where a set with the parts ``present`` has no ``part``; one checkpoint has none present."""
    if not present or part in present:
        return
    parts = ", ".join(present)
    raise CheckpointError(
        name,
        expected="one checkpoint" if part is None else f"a set with the part {part}",
        found=f"a set of body parts ({parts})",
        do="choose a set in the sidebar too, or the file of one part" if part is None else f"choose one of {parts}",
    )
