"""Your own files: a checkpoint and clips that are uploaded, taken to disk and chosen at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard import data, links, sources

UPLOADED = "uploaded"
MEGABYTE = 1_000_000
TOLD_FROM = 50 * MEGABYTE
"""Bytes of uploads from which their way to disk is shown."""


def named(kind: str) -> dict[str, Path]:
    """Uploads of a kind, 'checkpoint' or 'clips', by the names that they are chosen by."""
    return st.session_state.get(f"_uploads_{kind}", {})


def show() -> None:
    """Ask for files. To be called before what chooses among them is drawn: what is new is chosen."""
    with st.expander("Your own files", icon=":material/upload:"):
        checkpoint = st.file_uploader(
            "Checkpoint", key="checkpoint_upload",
            help=f"A file of any format that rvq-lens opens, ending in {', '.join(sources.CHECKPOINT_ENDINGS)}.",
        )  # fmt: skip
        clips = st.file_uploader(
            "Clips", key="clips_upload", accept_multiple_files=True,
            help=f"Motion files ending in {', '.join(sources.CLIP_ENDINGS)}.",
        )  # fmt: skip
        st.caption(
            "Uploads stay on the machine that runs this page and are removed when the page is closed. Up to 1 GB a "
            "file; for larger ones start with `rvq-lens dash --checkpoints FOLDER --clips FOLDER`."
        )
        place = st.empty()
    _take("checkpoint", [] if checkpoint is None else [checkpoint], place)
    _take("clips", clips or [], place)


def _take(kind: str, files: Sequence[UploadedFile], place: DeltaGenerator) -> None:
    """Keep what is new and choose it; where it was taken away, fall back to the first choice."""
    ids = tuple(file.file_id for file in files)
    if ids == st.session_state.get(f"_taken_{kind}", ()):
        return
    try:
        kept = (_keep_checkpoint if kind == "checkpoint" else _keep_clips)(files, _Copying(files, place))
    except OSError as error:
        place.error(
            f"The upload could not be kept: {links.told(error.strerror or str(error))}. Make room in the temporary "
            "folder of the machine that runs this page, or start with `rvq-lens dash --checkpoints FOLDER`.",
            icon=":material/error:",
        )
        return
    st.session_state[f"_taken_{kind}"] = ids
    st.session_state[f"_uploads_{kind}"] = kept
    links.forget_lost(kind)
    count = sum(path.suffix.lower() not in sources.COMPANIONS for path in kept.values())
    name = next(iter(kept), None) if kind == "checkpoint" else f"{UPLOADED} ({count})" if count else None
    if name is None:
        st.session_state.pop(kind, None)
    else:
        st.session_state[kind] = name


def _keep_checkpoint(files: Sequence[UploadedFile], copying: _Copying) -> dict[str, Path]:
    folder = data.upload_folder()
    kept = [folder.keep("checkpoints", file.name, file.file_id, file, copying) for file in files]
    return {f"{path.name} ({UPLOADED})": path for path in kept}


def _keep_clips(files: Sequence[UploadedFile], copying: _Copying) -> dict[str, Path]:
    # One folder for the files of one upload, so that an AMC finds its ASF; a second file of one name stands apart.
    together = hashlib.sha256(" ".join(file.file_id for file in files).encode()).hexdigest()[:16]
    kept: dict[str, Path] = {}
    for file in files:
        taken = file.name.lower() in {path.name.lower() for path in kept.values()}
        place = file.file_id if taken else together
        kept[file.file_id] = data.upload_folder().keep("clips", file.name, place, file, copying)
    return kept


class _Copying:
    """How much of the uploads is on disk, with the time left, where that takes a while."""

    def __init__(self, files: Sequence[UploadedFile], place: DeltaGenerator) -> None:
        self._total = sum(file.size for file in files)
        self._place = place
        self._done = 0
        self._started = time.monotonic()

    def __call__(self, size: int) -> None:
        """Tell that so many bytes more are there."""
        self._done += size
        if self._total < TOLD_FROM:
            return
        if self._done >= self._total:
            self._place.empty()
            return
        spent = time.monotonic() - self._started
        left = f", about {spent / self._done * (self._total - self._done):.0f} s left" if spent > 1 else ""
        done, total = self._done // MEGABYTE, self._total // MEGABYTE
        self._place.progress(self._done / self._total, text=f"Taking the upload: {done:,} of {total:,} MB{left}")
