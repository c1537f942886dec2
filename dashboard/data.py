"""All that is cached, and nothing else caches: checkpoints, clips, reports and coordinates of codes.

Keys are the sha256 of the checkpoint, the fingerprint of the clips and the parameters. Arrays go in as ``_arguments``,
which Streamlit does not hash: it would hash a sample of a large array, and show the old result for a changed one.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray

import rvq_core
from dashboard import projection_store
from dashboard.background import BackgroundJobs, Job
from dashboard.opened import Analysed, Subject
from dashboard.sources import (
    FileStamp,
    Reading,
    UploadFolder,
    clip_stamps,
    groups_file,
    set_stamps,
    split_file,
    stamp,
)
from rvq_core.clips import Clip, ClipSet, fingerprint, read_clips
from rvq_core.clips.groups import group_clips, read_groups
from rvq_core.clips.representations import UNDECODED
from rvq_core.compare import Comparison, Matching, compare, match_pair
from rvq_core.errors import ClipError, SettingsError
from rvq_core.loading import Checkpoint, load_checkpoint
from rvq_core.parts import PartSet, WholeBody, analyze_parts, load_part_set
from rvq_core.playback import Playback, motion_of
from rvq_core.report import Report
from rvq_core.residuals import residual_sample
from rvq_core.stats.projection import Projection, pca
from rvq_core.stats.trustworthiness import with_trustworthiness
from rvq_core.tokens import Pipeline

Progress = Callable[[int, int, str], None]
KEPT_REPORTS = 64
"""Reports that are kept: the 50 checkpoints that can be compared, and some."""


class Groups(NamedTuple):
    """Groups by the names that their file gives to clips, and why there are none where a file does not suit."""

    named: Mapping[str, str] = {}
    refused: str | None = None


def subject(path: Path, reading: Reading) -> Subject:
    """Open a checkpoint, or the folder of a set of body parts, read as the user says. Raises RVQLensError."""
    if not path.is_dir():
        return _checkpoint(stamp(path), reading)
    if reading.mean is not None or reading.std is not None:
        raise SettingsError(
            "mean and std", expected="one checkpoint", found="a set of body parts",
            do="choose the file of one part in the sidebar, or take the statistics away",
        )  # fmt: skip
    return _part_set(str(path), set_stamps(path), reading)


def need_no_encoder(chosen: ClipSet) -> bool:
    """Whether all clips are latents or indices."""
    return all(clip.representation in UNDECODED for clip in chosen.clips)


def identity(ckpt: Subject) -> str:
    """What the figures depend on: the file, and how it was read; of a set, its parts."""
    if isinstance(ckpt, PartSet):
        return hashlib.sha256(" ".join(map(identity, ckpt.parts.values())).encode()).hexdigest()
    digest = hashlib.sha256(f"{ckpt.sha256} {ckpt.config!r}".encode())
    if ckpt.normalizer is not None:
        digest.update(ckpt.normalizer.mean.numpy().tobytes() + ckpt.normalizer.std.numpy().tobytes())
    return digest.hexdigest()


def clips(paths: Sequence[Path]) -> ClipSet:
    """Read clips, once for every state of their files. Raises ClipError."""
    split = split_file(paths)
    return _clips(tuple(map(str, paths)), clip_stamps(list(paths)), None if split is None else stamp(split))


def groups(paths: Sequence[Path], chosen: ClipSet) -> Groups:
    """The groups of the clips of these paths; pages go on without those of a file that does not suit."""
    path = groups_file(paths)
    if path is None:
        return Groups()
    try:
        named = read_groups(path)
        group_clips(chosen.clips, named, str(path))
    except ClipError as error:
        return Groups(refused=f"No groups are shown. {error}")
    return Groups(named)


def report(ckpt: Subject, chosen: ClipSet, progress: Progress, grouped: Groups) -> Analysed:
    """Analyse the clips with a checkpoint or a set, unless that was done before. Raises RVQLensError.

    Not a cached function: the progress that it draws must not be recorded and drawn again on a hit.
    """
    kept = _reports()
    left_out = tuple(str(path) for path, _ in chosen.left_out)
    key = (identity(ckpt), fingerprint(chosen.clips), left_out, tuple(sorted(grouped.named.items())), grouped.refused)
    if key not in kept:
        kept[key] = _analyse(ckpt, chosen, progress, grouped)
        while len(kept) > KEPT_REPORTS:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]


def comparison(reports: Mapping[str, Report]) -> Comparison:
    """Compare reports by name, the first being the baseline; codes are matched apart. Raises RVQLensError."""
    return _comparison(tuple(reports), tuple(map(_content, reports.values())), list(reports.values()))


def matching(report: Report, baseline: Report, name: str, baseline_name: str) -> Matching:
    """Match the codes of a report and its baseline. Raises RVQLensError."""
    return _matching((_content(report), _content(baseline)), (name, baseline_name), report, baseline)


def held_out(ckpt: Subject, chosen: ClipSet) -> ClipSet:
    """Those of the clips that the checkpoint names as held out. Raises ClipError where there is none."""
    kept: list[Clip] = [clip for clip in chosen.clips if ckpt.held_out(clip.name)]
    if not kept:
        names = ckpt.trained_on[1]
        raise ClipError(
            f"clips held out from {ckpt.name}",
            expected="at least one of these clips",
            found=f"none of the {len(names)} it names" if names else "no list of them in this checkpoint",
            do="choose 'all' in the sidebar, or other clips",
        )
    return ClipSet(kept, chosen.left_out, chosen.warnings)


def playback(ckpt: Subject, clip: Clip) -> Playback:
    """Original and reconstructions of one clip as motion, of a set those of the whole body. Raises RVQLensError."""
    return _playback(identity(ckpt), clip.fingerprint, _unfeatured(clip), ckpt, clip)


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
    return _residuals(identity(ckpt), fingerprint(chosen.clips), ckpt, chosen)


def umap_of(settings: projection_store.UmapSettings, codebooks: list[NDArray[np.float32]]) -> Projection | None:
    """Coordinates computed earlier with these settings, in this run or another one; None where there are none."""
    return projection_store.find(settings, codebooks)


def umap_name(settings: projection_store.UmapSettings, codebooks: list[NDArray[np.float32]]) -> str:
    """Name of the job that computes these coordinates."""
    return projection_store.key(settings, codebooks)


def start_umap(settings: projection_store.UmapSettings, codebooks: list[NDArray[np.float32]]) -> Job:
    """Begin computing UMAP coordinates behind the page, or join the job that already does."""
    name = umap_name(settings, codebooks)
    return umap_jobs().start(name, lambda: projection_store.compute(settings, codebooks))


@st.cache_resource(show_spinner=False)
def umap_jobs() -> BackgroundJobs:
    """Return the computations going on behind the pages, of all sessions."""
    return BackgroundJobs()


def relabelled(projection: Projection, layers: Sequence[int]) -> Projection:
    """Number the layers of a projection as the checkpoint does: 1, 2, .. become ``layers``."""
    numbers = np.asarray(layers)[projection.table["layer"].to_numpy() - 1]
    return projection._replace(table=projection.table.assign(layer=numbers))


@st.cache_resource(max_entries=4, show_spinner="Opening the checkpoint …")
def _checkpoint(file: FileStamp, reading: Reading) -> Checkpoint:
    return load_checkpoint(
        file.path,
        activation=reading.activation,
        norm=reading.norm,
        dilation_growth_rate=reading.dilation_growth_rate,
        mean=reading.mean,
        std=reading.std,
    )


@st.cache_resource(max_entries=2, show_spinner="Opening the checkpoints of the body parts …")
def _part_set(path: str, stamps: tuple[FileStamp, ...], reading: Reading) -> PartSet:
    del stamps  # part of the key: they change with the files
    return load_part_set(
        path, activation=reading.activation, norm=reading.norm, dilation_growth_rate=reading.dilation_growth_rate
    )


@st.cache_resource(max_entries=8, show_spinner="Reading the clips …")
def _clips(paths: tuple[str, ...], stamps: tuple[FileStamp, ...], split: FileStamp | None) -> ClipSet:
    del stamps  # part of the key: they change with the files
    return read_clips(paths[0] if len(paths) == 1 else paths, split=None if split is None else split.path)


@st.cache_resource(max_entries=3, show_spinner="Encoding the clips for what lies behind the codes …")
def _residuals(checkpoint: str, clips: str, _ckpt: Checkpoint, _chosen: ClipSet) -> list[NDArray[np.float32]]:
    del checkpoint, clips  # parts of the key: they stand for the objects
    return residual_sample(_ckpt, _chosen.clips)


@st.cache_resource(max_entries=3, show_spinner="Decoding the clip …")
def _playback(checkpoint: str, motion: str, unfeatured: str, _ckpt: Subject, _clip: Clip) -> Playback:
    del checkpoint, motion, unfeatured  # parts of the key: they stand for the objects
    return motion_of(WholeBody(_ckpt) if isinstance(_ckpt, PartSet) else Pipeline(_ckpt), _clip)


def _unfeatured(clip: Clip) -> str:
    """Identity of what a clip's fingerprint leaves out: path and skeleton."""
    parts = (clip.translation, None if clip.skeleton is None else clip.skeleton.offsets)
    return hashlib.sha256(b"\0".join(b"" if part is None else part.tobytes() for part in parts)).hexdigest()


@st.cache_resource(max_entries=8, show_spinner="Comparing …")
def _comparison(names: tuple[str, ...], contents: tuple[str, ...], _given: list[Report]) -> Comparison:
    del contents  # part of the key: it stands for the reports
    return compare(_given, names=names, codes=False, command="rvq-lens dash")


@st.cache_resource(max_entries=64, show_spinner="Matching codes …")
def _matching(contents: tuple[str, str], names: tuple[str, str], _report: Report, _baseline: Report) -> Matching:
    del contents  # part of the key: it stands for the reports
    return match_pair(_report, _baseline, names)


def _content(report: Report) -> str:
    """What a report is of: checkpoint, how it was read, and clips."""
    told = {name: report.manifest[name] for name in ("checkpoint", "clips", "settings", "left_out")}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


@st.cache_resource(show_spinner=False)
def _reports() -> OrderedDict[tuple[object, ...], Analysed]:
    return OrderedDict()


def _analyse(ckpt: Subject, chosen: ClipSet, progress: Progress, grouped: Groups) -> Analysed:
    measure = partial(analyze_parts, ckpt) if isinstance(ckpt, PartSet) else partial(rvq_core.analyze, ckpt)
    with warnings.catch_warnings():
        # Clips left out stand in the manifest, and the page lists them.
        warnings.filterwarnings("ignore", message="left out")
        return measure(
            chosen.clips,
            progress=progress,
            left_out=chosen.left_out,
            warned=chosen.warnings if grouped.refused is None else (*chosen.warnings, grouped.refused),
            groups=grouped.named or None,
            command="rvq-lens dash",
        )
