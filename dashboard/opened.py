"""What a page looks at: a checkpoint, or a set of body parts of which most pages show one part."""

from __future__ import annotations

from typing import NamedTuple

from rvq_core.errors import CheckpointError
from rvq_core.loading import Checkpoint
from rvq_core.parts import PartSet, PartsReport
from rvq_core.report import Report

Subject = Checkpoint | PartSet
"""What can be chosen in the sidebar."""

Analysed = Report | PartsReport
"""What analysing it gives."""


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
        return analysed if isinstance(analysed, Report) else analysed.parts[str(self.part)]


def of_part(subject: Subject, part: str | None) -> Opened:
    """``subject`` beside a checkpoint that is ``part`` of a set, or none of any (None): of a set the same part.

    Raises CheckpointError where the set has no such part.
    """
    if isinstance(subject, Checkpoint):
        return Opened(subject, None)
    if part not in subject.parts:
        parts = ", ".join(subject.parts)
        raise CheckpointError(
            subject.name,
            expected="one checkpoint" if part is None else f"a set with the part {part}",
            found=f"a set of body parts ({parts})",
            do="choose a set in the sidebar too, or the file of one part" if part is None else f"choose one of {parts}",
        )
    return Opened(subject, part)
