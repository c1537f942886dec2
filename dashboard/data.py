"""All that is cached in memory, and nothing else caches: checkpoints, clips, reports and coordinates of codes.

What takes long is computed by ``jobs`` and kept on disk by ``store``. Keys are the sha256 of the checkpoint and how it
was read, the identity of the clips, and the parameters. Arrays go in as ``_arguments``,
which Streamlit does not hash: it would hash a sample of a large array, and show the old result for a changed one.
What only one page needs is imported when it is computed: the first chart does not wait for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import analyses, comparison_store, projection_store
from dashboard.analyses import (
    Facts,
    Groups,
    facts_of,
    find_report,
    groups_from,
    identity,
    identity_of_clip,
    identity_of_clips,
    need_no_encoder,
    report_key,
    trained_on_of,
)
from dashboard.jobs import Analysis, Job, Jobs, Source, State, Umap
from dashboard.kept import Kept
from dashboard.opened import Analysed, Subject, open_subject
from dashboard.settings import Reading, UmapSettings
from dashboard.sources import FileStamp, UploadFolder, clip_stamps, groups_file, set_files, split_file, stamp
from dashboard.store import Store, open_store
from rvq_core.clips import Clip, ClipSet, read_clips
from rvq_core.errors import RVQLensError
from rvq_core.loading import Checkpoint
from rvq_core.loading.sidecars import files_beside
from rvq_core.parts import PartSet
from rvq_core.report import Report
from rvq_core.stats.projection import Projection, pca
from rvq_core.stats.trustworthiness import with_trustworthiness

if TYPE_CHECKING:
    from rvq_core.compare import Comparison, Matching
    from rvq_core.playback import Playback

Found = TypeVar("Found")

COMPUTED_BYTES = 512 << 20
"""Motion that is kept in memory, of all sessions: clips decoded at every depth, codes as movement."""

KEPT_RESULTS = 64
"""Results that are kept in memory: reports of the 50 checkpoints that can be compared, and some."""


class Asked(NamedTuple):
    """A report that a page wants: its key, what to call the job, what to ask of the worker, and of which checkpoint."""

    key: str
    title: str
    request: Analysis
    facts: Facts


def subject(path: Path, reading: Reading) -> Subject:
    """Open a checkpoint, or the folder of a set of body parts, read as the user says. Raises RVQLensError."""
    return _set(str(path), _stamps(path), reading) if path.is_dir() else _checkpoint(str(path), _stamps(path), reading)


def facts(path: Path, reading: Reading) -> Facts:
    """What must be known of a subject to find its report; it is opened once for it, not each time. RVQLensError."""
    return _facts(str(path), _stamps(path), reading)


def clips(paths: Sequence[Path]) -> ClipSet:
    """Read clips, once for every state of their files. Raises ClipError."""
    split = split_file(paths)
    # One text in the place of thousands of stamps: Streamlit's own hash of them would take half a second a run.
    stamps = hashlib.sha256(repr(clip_stamps(list(paths))).encode()).hexdigest()
    return _clips(tuple(map(str, paths)), stamps, None if split is None else stamp(split))


class Corpus(NamedTuple):
    """The clips that are chosen: their paths, what was read of them, and the files of a split and of groups."""

    paths: tuple[Path, ...]
    chosen: ClipSet
    split: Path | None
    groups: Path | None
    grouped: Groups


def corpus(paths: Sequence[Path]) -> Corpus:
    """Read clips with their groups; files are looked at anew. Raises ClipError."""
    chosen, grouping = clips(paths), groups_file(paths)
    return Corpus(tuple(paths), chosen, split_file(paths), grouping, groups_from(grouping, chosen))


def held_out(ckpt: Subject, chosen: ClipSet) -> ClipSet:
    """Those of the clips that the checkpoint names as held out. Raises ClipError where there is none."""
    return analyses.held_out(ckpt.name, trained_on_of(ckpt), chosen)


def asked(path: Path, reading: Reading, corpus: Corpus, held_out_only: bool) -> Asked | None:
    """The report of a checkpoint on clips; None where it holds codebooks alone, and the clips need an encoder.

    Raises RVQLensError where the checkpoint cannot be read, or holds none of the clips out.
    """
    told, chosen, grouped = facts(path, reading), corpus.chosen, corpus.grouped
    if held_out_only:
        chosen = analyses.held_out(told.name, told.trained_on, chosen)
        grouped = groups_from(corpus.groups, chosen)
    if not (told.runs_motion or need_no_encoder(chosen)):
        return None
    request = Analysis(
        Source(str(path), reading),
        tuple(map(str, corpus.paths)),
        None if corpus.split is None else str(corpus.split),
        None if corpus.groups is None else str(corpus.groups),
        held_out_only,
    )
    return Asked(report_key(told.identity, chosen, grouped), f"Analysis of {told.name}", request, told)


def report(wanted: Asked) -> Analysed | None:
    """The report, from memory or from the store; None where it was not computed yet."""
    own = (wanted.key, wanted.facts.name, wanted.facts.file)  # one content may lie under two names
    return _kept(own, lambda: find_report(store(), wanted.key, wanted.facts))


def ask(wanted: Asked) -> Job:
    """The job of a report that is not there: a new one, the one on its way, or the one that gave none."""
    job = jobs().find(wanted.key)
    # One that is done, and no result: it was cleared away since.
    if job is None or job.state is State.DONE:
        return jobs().submit(wanted.key, wanted.title, wanted.request)
    return job


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """Return the results on disk."""
    return open_store()


@st.cache_resource(show_spinner=False, on_release=lambda running: running.close())
def jobs() -> Jobs:
    """Return the queue of computations, of all sessions."""
    return Jobs(store().folder)


def forget_results() -> None:
    """Forget what was read from the store: it was cleared."""
    _memory().clear()


def comparison(reports: Mapping[str, Report]) -> Comparison:
    """Compare reports by name, the first being the baseline; codes are matched apart. Raises RVQLensError."""
    return _comparison(tuple(reports), tuple(map(_content, reports.values())), list(reports.values()))


def matching(report: Report, baseline: Report, name: str, baseline_name: str) -> Matching:
    """Match the codes of a report and its baseline. Raises RVQLensError."""
    return _matching((_content(report), _content(baseline)), (name, baseline_name), report, baseline)


def playback(ckpt: Subject, clip: Clip) -> Playback:
    """Original and reconstructions of one clip as motion, of a set those of the whole body. Raises RVQLensError."""
    return motion(ckpt, ("playback", identity_of_clip(clip)), partial(_played, ckpt, clip))


def motion(ckpt: Subject, what: tuple[Hashable, ...], make: Callable[[], Found]) -> Found:
    """What ``make`` computes with a checkpoint, once for all sessions; ``what`` names all else that it depends on."""
    return _computed().get((identity(ckpt), *what), make)


@st.cache_resource(scope="session", on_release=lambda folder: folder.close(), show_spinner=False)
def upload_folder() -> UploadFolder:
    """Return this session's folder for uploads; it is removed when the session ends."""
    return UploadFolder()


@st.cache_data(max_entries=64, show_spinner=False)
def pca_of(sha256: str, scale: str, layers: tuple[int, ...], _codebooks: list[NDArray[np.float32]]) -> Projection:
    """Principal components of the codes of ``layers`` (1-based)."""
    del sha256  # part of the key: it stands for the codebooks
    some = [_codebooks[layer - 1] for layer in layers]
    return relabelled(with_trustworthiness(pca(some, scale=scale), some), layers)


def residuals(ckpt: Checkpoint, chosen: ClipSet) -> list[NDArray[np.float32]]:
    """What each layer gets to quantize, a sample over the clips: arrays [N, C]. Raises RVQLensError."""
    return _residuals(identity(ckpt), identity_of_clips(chosen.clips), ckpt, chosen)


def umap_key(shas: str, settings: UmapSettings, codebooks: list[NDArray[np.float32]]) -> str:
    """Key of UMAP coordinates; ``shas`` stands for the codebooks."""
    return _umap_key(shas, settings, codebooks)


def umap_of(shas: str, settings: UmapSettings, codebooks: list[NDArray[np.float32]]) -> Projection | None:
    """Coordinates computed earlier with these settings, in this run or another one; None where there are none."""
    key = umap_key(shas, settings, codebooks)
    return _kept((key,), lambda: projection_store.find(store(), settings, codebooks))


def ask_umap(key: str, paths: Sequence[Path], reading: Reading, settings: UmapSettings) -> Job:
    """Begin to compute UMAP coordinates of the codes of these checkpoints, or join the job that already does."""
    codes = "UMAP of " + " and ".join(facts(path, reading).name for path in paths)
    return jobs().submit(key, codes, Umap(tuple(Source(str(path), reading) for path in paths), settings))


def relabelled(projection: Projection, layers: Sequence[int]) -> Projection:
    """Number the layers of a projection as the checkpoint does: 1, 2, .. become ``layers``."""
    numbers = np.asarray(layers)[projection.table["layer"].to_numpy() - 1]
    return projection._replace(table=projection.table.assign(layer=numbers))


@st.cache_resource(max_entries=4, show_spinner="Opening the checkpoint …")
def _checkpoint(path: str, stamps: tuple[FileStamp, ...], reading: Reading) -> Subject:
    del stamps  # part of the key: they change with the files
    return open_subject(path, reading)


@st.cache_resource(max_entries=2, show_spinner="Opening the checkpoints of the body parts …")
def _set(path: str, stamps: tuple[FileStamp, ...], reading: Reading) -> Subject:
    del stamps  # part of the key: they change with the files
    return open_subject(path, reading)


@st.cache_resource(max_entries=512, show_spinner=False)
def _facts(path: str, stamps: tuple[FileStamp, ...], reading: Reading) -> Facts:
    del stamps  # part of the key: they change with the files
    return facts_of(subject(Path(path), reading))


def _stamps(path: Path) -> tuple[FileStamp, ...]:
    """Stamps of all files that are read for a subject: its own, and options, mean and std that lie beside them."""
    files = set_files(path) if path.is_dir() else [path]
    return tuple(stamp(each) for file in files for each in (file, *files_beside(file)))


@st.cache_data(max_entries=64, show_spinner=False)
def _umap_key(shas: str, settings: UmapSettings, _codebooks: list[NDArray[np.float32]]) -> str:
    del shas  # part of the key: it stands for the codebooks
    return projection_store.key(settings, _codebooks)


def run_history(path: Path) -> pd.DataFrame:
    """The history of a run folder, read again when it is written. Raises RVQLensError."""
    return _history(stamp(path))


def survival(folder: Path) -> pd.DataFrame | None:
    """What became of the codes between the snapshots of a folder; None where it has not two. Raises RVQLensError."""
    stamps = _snapshot_stamps(folder)
    return _survival(str(folder), stamps) if len(stamps) > 1 else None


def trends(folder: Path) -> pd.DataFrame | None:
    """Figures of the snapshots of a folder over their iterations; None where it has not two. Raises RVQLensError."""
    stamps = _snapshot_stamps(folder)
    return _trends(str(folder), stamps) if len(stamps) > 1 else None


def _snapshot_stamps(folder: Path) -> tuple[FileStamp, ...]:
    from rvq_core.training.snapshots import snapshots_of

    try:
        return tuple(stamp(one.path) for one in snapshots_of(folder))
    except RVQLensError:
        return ()


@st.cache_data(max_entries=16, show_spinner=False)
def _history(file: FileStamp) -> pd.DataFrame:
    from rvq_core.training.curves import read_history

    return read_history(Path(file.path))


@st.cache_data(max_entries=16, show_spinner="Comparing the snapshots …")
def _survival(folder: str, stamps: tuple[FileStamp, ...]) -> pd.DataFrame:
    del stamps  # part of the key: they change with the files
    from rvq_core.training.survival import code_survival

    return code_survival(Path(folder))


@st.cache_data(max_entries=16, show_spinner="Opening the snapshots …")
def _trends(folder: str, stamps: tuple[FileStamp, ...]) -> pd.DataFrame:
    del stamps  # part of the key: they change with the files
    from rvq_core.training.survival import snapshot_trends

    return snapshot_trends(Path(folder))


@st.cache_resource(max_entries=8, show_spinner="Reading the clips …")
def _clips(paths: tuple[str, ...], stamps: str, split: FileStamp | None) -> ClipSet:
    del stamps  # part of the key: they change with the files
    return read_clips(
        paths[0] if len(paths) == 1 else paths, split=None if split is None else split.path, follow_links=False
    )


@st.cache_resource(max_entries=3, show_spinner="Encoding the clips for what lies behind the codes …")
def _residuals(checkpoint: str, clips: str, _ckpt: Checkpoint, _chosen: ClipSet) -> list[NDArray[np.float32]]:
    del checkpoint, clips  # parts of the key: they stand for the objects
    from rvq_core.residuals import residual_sample

    return residual_sample(_ckpt, _chosen.clips)


def _played(ckpt: Subject, clip: Clip) -> Playback:
    from rvq_core.parts import WholeBody
    from rvq_core.playback import motion_of
    from rvq_core.tokens import Pipeline

    with st.spinner("Decoding the clip …"):
        return motion_of(WholeBody(ckpt) if isinstance(ckpt, PartSet) else Pipeline(ckpt), clip)


@st.cache_resource(show_spinner=False)
def _computed() -> Kept:
    return Kept(COMPUTED_BYTES)


@st.cache_resource(max_entries=8, show_spinner="Comparing …")
def _comparison(names: tuple[str, ...], contents: tuple[str, ...], _given: list[Report]) -> Comparison:
    return comparison_store.compared(store(), names, contents, _given)


@st.cache_resource(max_entries=64, show_spinner="Matching codes …")
def _matching(contents: tuple[str, str], names: tuple[str, str], _report: Report, _baseline: Report) -> Matching:
    del contents  # part of the key: it stands for the reports
    from rvq_core.compare import match_pair

    return match_pair(_report, _baseline, names)


def _content(report: Report) -> str:
    """What a report is of: checkpoint, how it was read, and clips."""
    told = {name: report.manifest[name] for name in ("checkpoint", "clips", "settings", "left_out")}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


@st.cache_resource(show_spinner=False)
def _memory() -> OrderedDict[tuple[str, ...], Any]:
    return OrderedDict()


def _kept(key: tuple[str, ...], find: Callable[[], Found | None]) -> Found | None:
    """A result from memory, else what ``find`` finds, which is kept in memory if there is any."""
    memory = _memory()
    found: Found | None = memory.get(key)
    if found is None:
        found = find()
        if found is None:
            return None
        memory[key] = found
    with contextlib.suppress(KeyError):  # another session may have made room just now
        memory.move_to_end(key)
    while len(memory) > KEPT_RESULTS:
        memory.popitem(last=False)
    return found
