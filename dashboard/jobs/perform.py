"""Doing what is asked: read the files, compute, put the result into the store under the key of what was read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dashboard import analyses, projection_store
from dashboard.analyses import Progress
from dashboard.jobs import errors
from dashboard.jobs.requests import Analysis, Request, Source, Umap
from dashboard.opened import open_subject
from dashboard.sources import FileStamp, clip_stamps, stamp
from dashboard.store import Store
from rvq_core.clips import ClipSet, read_clips
from rvq_core.parts.load import PartSet


class Performer:
    """Does jobs one after another; the clips read last are kept for the next, as of a sweep."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: tuple[object, ClipSet] | None = None

    def perform(self, request: Request, key: str, progress: Progress) -> None:
        """Compute the result and keep it. Raises RVQLensError, and JobError where it is not that of ``key``."""
        if isinstance(request, Umap):
            self._lay_out(request, key, progress)
        else:
            self._analyse(request, key, progress)

    def _lay_out(self, request: Umap, key: str, progress: Progress) -> None:
        codebooks = [codes for source in request.sources for codes in codebooks_of(source)]
        self._agree(projection_store.key(request.settings, codebooks), key, "the map")
        codes = sum(len(codebooks[layer - 1]) for layer in request.settings.layers)
        progress(0, 1, f"{codes:,} codes")

        def passes(done: int, total: int) -> None:
            progress(min(done, total - 1), total, "pass")  # how far the map may be trusted is measured behind the last

        laid_out = projection_store.compute(request.settings, codebooks, passes)
        projection_store.keep(self._store, request.settings, codebooks, laid_out)

    def _analyse(self, request: Analysis, key: str, progress: Progress) -> None:
        subject = open_subject(request.source.path, request.source.reading)
        chosen = self._clips(request)
        if request.held_out_only:
            chosen = analyses.held_out(subject.name, analyses.trained_on_of(subject), chosen)
        grouped = analyses.groups_from(None if request.groups is None else Path(request.groups), chosen)
        self._agree(analyses.report_key(analyses.identity(subject), chosen, grouped), key, "the analysis")
        analyses.keep_report(self._store, key, analyses.analyse(subject, chosen, grouped, progress))

    def _agree(self, found: str, wanted: str, what: str) -> None:
        if found != wanted:
            raise errors.changed(what)

    def _clips(self, request: Analysis) -> ClipSet:
        split = None if request.split is None else Path(request.split)
        paths = list(map(Path, request.clips))
        state: tuple[list[Path], tuple[FileStamp, ...], object] = (
            paths, clip_stamps(paths), None if split is None else stamp(split),
        )  # fmt: skip
        if self._read is None or self._read[0] != state:
            self._read = None  # room for the next
            self._read = state, read_clips(paths[0] if len(paths) == 1 else paths, split=split, follow_links=False)
        return self._read[1]


def codebooks_of(source: Source) -> list[NDArray[np.float32]]:
    """The codebooks [K_q, C] of all checkpoints of a source."""
    subject = open_subject(source.path, source.reading)
    opened = subject.parts.values() if isinstance(subject, PartSet) else [subject]
    return [codes for ckpt in opened for codes in analyses.codebooks(ckpt)]
