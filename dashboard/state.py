"""What is chosen: checkpoint and clips, in the sidebar and in the address of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard import data, links, memory, sources, store_box, uploads
from dashboard.settings import Reading
from rvq_core.parts import parts_named

ALL, HELD_OUT = "all", "held-out"
SPLITS = [ALL, HELD_OUT]
AS_TOLD = "as the file tells"
ACTIVATIONS = ("relu", "silu", "gelu")
TOLD_IN_SIDEBAR = ("checkpoint", "clips")
"""Keys of the address whose lost values the sidebar tells of."""

IN_EVERY_LINK = ("checkpoint", "part", "clips", "split")

OPENED_CODE = "_opened_code"
"""Where a click leaves the layer and code that it leads to, until the Code page has taken them."""

_SELECTION = "_selection"


@dataclass(frozen=True, slots=True)
class Selection:
    """Paths of the chosen checkpoint and clips; ``checkpoint`` is None where there is none to choose.

    Where it is the folder of a set of body parts, ``part`` is the one that pages show which show only one.
    """

    checkpoint: Path | None
    part: str | None
    clips: tuple[Path, ...]
    held_out_only: bool
    reading: Reading


def current() -> Selection:
    """What the sidebar says in this run."""
    return st.session_state[_SELECTION]


def checkpoints() -> dict[str, Path]:
    """All checkpoints that can be chosen, by the name that links give them."""
    return uploads.named("checkpoint") | sources.list_checkpoints()


def checkpoint_name() -> str:
    """Name of the chosen checkpoint in links; empty where there is none."""
    return str(st.session_state.get("checkpoint") or "")


def choose(page: str = "") -> None:
    """Draw the sidebar and remember what is chosen for the page of this run, named by its address."""
    links.remember_opened()
    with st.sidebar:
        choices = st.container()
        uploads.show()  # first, as it may choose what is new
        with choices:
            checkpoint = _choose_checkpoint()
            part = _choose_part(checkpoint)
            clips = _choose_clips()
            held_out_only = _choose_split() == HELD_OUT
            chosen = {key: str(st.session_state[key]) for key in IN_EVERY_LINK if st.session_state.get(key)}
            links.copy_button(chosen | (_chosen_code() if page == "code" else {}))
        reading = _choose_reading()
        store_box.show()
    if not any(uploads.UPLOADED in value for value in chosen.values()):  # uploads go with the session
        memory.remember(chosen)
    st.session_state[_SELECTION] = Selection(checkpoint, part, clips, held_out_only, reading)


def _chosen_code() -> dict[str, str]:
    """Layer and code of the Code page: after a click no widget writes them into the address."""
    opened = st.session_state.get(OPENED_CODE)
    values = opened if opened is not None else (st.session_state.get("layer"), st.session_state.get("code"))
    return {key: str(value) for key, value in zip(("layer", "code"), values, strict=True) if value is not None}


def _choose_checkpoint() -> Path | None:
    found = checkpoints()
    given = sources.given_checkpoints()
    if given is not None and not any(path.is_relative_to(given) for path in found.values()):
        st.warning(f"No checkpoint in `{given}`: expected files ending in {', '.join(sources.CHECKPOINT_ENDINGS)}.")
    if not found:
        return None
    _tell_lost("checkpoint", list(found))
    first = _recalled("checkpoint", list(found), _first_not_uploaded(found))
    name = st.selectbox(
        "Checkpoint", list(found), index=first, key="checkpoint", bind="query-params",
        help="Bundled checkpoints, those of the folder given at start, and your uploads.",
        on_change=links.forget_lost, args=("checkpoint",),
    )  # fmt: skip
    return found.get(name) if name else None


def _choose_part(checkpoint: Path | None) -> str | None:
    """Part of a set of body parts; None where one checkpoint is chosen."""
    if checkpoint is None or not checkpoint.is_dir():
        return None
    parts = list(parts_named(checkpoint))
    first = parts[_recalled("part", parts)]
    return st.segmented_control(
        "Body part", parts, default=first, required=True, key="part", bind="query-params",
        help="Overview, Clip and Export show all parts of the set, other pages this one.",
    )  # fmt: skip


def _choose_clips() -> tuple[Path, ...]:
    folders = {name: (path,) for name, path in sources.clip_folders().items()}
    uploaded = tuple(path for path in uploads.named("clips").values() if path.suffix.lower() not in sources.COMPANIONS)
    options = folders | ({uploads.UPLOADED: uploaded} if uploaded else {})
    labels = {
        "bundled": "bundled clips",
        "folder": "folder given at start",
        uploads.UPLOADED: f"uploaded ({len(uploaded)})",
    }
    names = [labels[option] for option in options]
    _tell_lost("clips", names)
    name = st.selectbox(
        "Clips", names, index=_recalled("clips", names), key="clips", bind="query-params",
        help="The motion that is run through the checkpoint: all figures are measured on it.",
        on_change=links.forget_lost, args=("clips",),
    )  # fmt: skip
    return next(paths for option, paths in options.items() if labels[option] == name)


def _choose_split() -> str:
    first = SPLITS[_recalled("split", SPLITS)]
    return (
        st.segmented_control(
            "Of these clips", SPLITS, default=first, required=True, key="split", bind="query-params",
            help="Held-out clips are those the checkpoint was not trained on, where it stores their names.",
        )
        or ALL
    )  # fmt: skip


def _choose_reading() -> Reading:
    """What the user says of the model; the Overview's notes tell what was assumed."""
    with st.expander("How the file is read", icon=":material/tune:"):
        activation = st.selectbox("Activation", [AS_TOLD, *ACTIVATIONS], key="activation", bind="query-params")
        norm = st.selectbox("Norm", [AS_TOLD, "LN", "GN", "BN"], key="norm", bind="query-params")
        growth = st.selectbox("Dilation growth", [AS_TOLD, "1", "2", "3", "4"], key="dilation", bind="query-params")
        statistics = {
            name: st.file_uploader(f"{name} of the features (.npy)", key=f"{name.lower()}_upload", type="npy")
            for name in ("Mean", "Std")
        }
        st.caption("Weights cannot tell these. What was taken, and why, stands in the notes of the Overview.")
    kept = {
        name.lower(): str(data.upload_folder().keep("statistics", file.name, file.file_id, file))
        for name, file in statistics.items()
        if file is not None
    }
    return Reading(
        activation=None if activation == AS_TOLD else activation,
        norm=None if norm == AS_TOLD else norm,
        dilation_growth_rate=None if growth in (AS_TOLD, None) else int(growth),
        **kept,
    )


def _first_not_uploaded(found: dict[str, Path]) -> int:
    return next((i for i, name in enumerate(found) if not name.endswith(f"({uploads.UPLOADED})")), 0)


def _recalled(key: str, options: list[str], otherwise: int = 0) -> int:
    """Number of the option that was chosen last, as far as it is here; asked once a session."""
    recalled: dict[str, str] = st.session_state.setdefault("_recalled", memory.recall())
    return options.index(recalled[key]) if recalled.get(key) in options else otherwise


def _tell_lost(key: str, options: list[str]) -> None:
    """Say so, until something is chosen, where the link that was opened names something that is not here."""
    lost = links.lost()
    wanted = st.query_params.get(key)
    if _SELECTION not in st.session_state and wanted and wanted not in options:
        lost[key] = wanted
    if key in lost:
        st.warning(
            f"The link asks for the {key} `{links.told(lost[key])}`, which is not here; another choice is shown."
        )
