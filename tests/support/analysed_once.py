"""Analyses that several tests ask for are computed by the first of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dashboard import analyses
from dashboard.analyses import Analysed, Groups, Progress
from dashboard.opened import Subject
from rvq_core.clips import ClipSet

_analyse = analyses.analyse
_known: dict[str, Analysed] = {}


def analysed_once(subject: Subject, chosen: ClipSet, grouped: Groups, progress: Progress) -> Analysed:
    """As ``analyses.analyse``; what a test of this process had computed is found by its key in the store.

    Tests that change how reports are made put ``analyses.analyse`` itself in its place again: ``analysed_anew``.
    """
    key = analyses.report_key(analyses.identity(subject), chosen, grouped)
    if key not in _known:
        _known[key] = _analyse(subject, chosen, grouped, progress)
    return _known[key]


@contextmanager
def analysed_anew() -> Iterator[None]:
    """In the block every analysis is computed, and not known afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "analyse", _analyse)
        yield
