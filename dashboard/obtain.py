"""The reports that pages show: found, or asked for and waited for; where there is none, the page has said why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import streamlit as st

from dashboard import components, data, job_box, linked, state
from dashboard.jobs import Job
from dashboard.opened import Analysed, Opened, Subject, refuse_part, report_of
from rvq_core.errors import RVQLensError
from rvq_core.report import Report

if TYPE_CHECKING:
    from rvq_core.loading import Checkpoint
    from rvq_core.parts import PartSet, PartsReport

STOPPED = "The analysis was cancelled: there is nothing to show without it."
STOPPED_BESIDE = "Analyses were cancelled: their checkpoints are left out."


def report_or_stop(opened: Opened) -> Report:
    """The report on the chosen clips; while it is computed, and where it cannot be, the page ends here."""
    report = report_or_none(opened)
    if report is None:
        st.stop()
    return report


def report_or_none(opened: Opened) -> Report | None:
    """The report on the chosen clips; None while it is computed, which is shown, and where it cannot be."""
    found = analysed_or_none(opened.subject)
    return None if found is None else _holding(opened.report_in(found))


@overload
def analysed_or_stop(subject: Checkpoint) -> Report: ...
@overload
def analysed_or_stop(subject: PartSet) -> PartsReport: ...
@overload
def analysed_or_stop(subject: Subject) -> Analysed: ...
def analysed_or_stop(subject: Subject) -> Analysed:
    """The report of a checkpoint or a set; while it is computed, and where it cannot be, the page ends here."""
    found = analysed_or_none(subject)
    if found is None:
        st.stop()
    return found


def analysed_or_none(subject: Subject) -> Analysed | None:
    """The report of a checkpoint or a set; None while it is computed, which is shown, and where it cannot be."""
    try:
        asked = _ask(subject.path, data.corpus(state.current().clips))
    except RVQLensError as error:
        components.error_box(error)
        return None
    if asked is None:
        components.codebooks_only()
        return None
    found = _obtain([asked], STOPPED).get(asked.key)
    return _holding(found) if isinstance(found, Report) else found


def _holding(report: Report) -> Report:
    """The report, once what is selected and it does not have is let go of."""
    sizes = zip(report.layers["layer"].tolist(), report.layers["codes"].tolist(), strict=True)
    linked.hold_to(dict(sizes), report.clips["clip"].tolist())
    return report


def reports_beside(names: Sequence[str], part: str | None) -> dict[str, Report]:
    """Reports of other checkpoints than the chosen one, by their names in links; those that cannot be had are told.

    Of sets they are those of ``part``. All that are missing are asked for at once; until they are there, the page has
    those that are.
    """
    wanted: dict[str, data.Asked] = {}
    paths, corpus = state.checkpoints(), data.corpus(state.current().clips)
    for name in names:
        try:
            asked = _ask(paths[name], corpus)
            if asked is not None:
                refuse_part(asked.facts.name, asked.facts.parts, part)
        except RVQLensError as error:
            components.left_out(name, str(error))
            continue
        if asked is None:
            components.left_out(name, "It holds codebooks without an encoder: no motion can be run through it.")
        else:
            wanted[name] = asked
    names_of = {asked.key: name for name, asked in wanted.items()}
    found = _obtain(
        list(wanted.values()), STOPPED_BESIDE, lambda job: components.left_out(names_of[job.key], str(job.error))
    )
    return {name: report_of(found[asked.key], part) for name, asked in wanted.items() if asked.key in found}


def _obtain(
    wanted: Sequence[data.Asked], stopped: str, failed: Callable[[Job], None] | None = None
) -> Mapping[str, Analysed]:
    """Reports by key, as far as they are there; the others are asked for, and the page shows how that stands."""
    reports = _found(wanted)
    missing = {asked.key: asked for asked in wanted if asked.key not in reports}
    if not missing:
        return reports
    job_box.show(list(map(data.ask, missing.values())), stopped, failed)
    return reports | _found(list(missing.values()))


def _found(wanted: Sequence[data.Asked]) -> dict[str, Analysed]:
    return {asked.key: report for asked in wanted if (report := data.report(asked)) is not None}


def _ask(path: Path, corpus: data.Corpus) -> data.Asked | None:
    selection = state.current()
    return data.asked(path, selection.reading, corpus, selection.held_out_only)
