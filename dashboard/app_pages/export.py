"""Export: figures and tables of what is shown, as one zip that is made when it is asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import code_facts, components, data, linked, obtain, state
from dashboard.code_poses import Held
from dashboard.export.build import FORMATS, Choice, export_files, zipped
from dashboard.export.clips import clip_figures, clip_number
from dashboard.export.codes import code_figures, read_code
from dashboard.export.registry import FigureEntry
from dashboard.export.sources import figures_of, name_of
from dashboard.opened import Analysed, Subject
from dashboard.paper import PRESETS
from rvq_core.clips import Clip
from rvq_core.clips.representations import TOKENS
from rvq_core.errors import RVQLensError
from rvq_core.parts import PartSet, PartsReport
from rvq_core.playback import motion_of
from rvq_core.report import Report
from rvq_core.tokens import Pipeline

MOST_CODES = 20
"""Selected codes that the field begins with: each has figures of its own."""

NO_POSES = (
    "Poses of codes come from this page alone: these clips move a skeleton of their own, which the command, given the "
    "report without its clips, does not have. It draws the codes' usage."
)


def main() -> None:
    st.title("Export", anchor=False)
    ckpt = components.subject_or_stop()
    report = obtain.analysed_or_stop(ckpt)
    components.measured_on(report)
    choice = choose(report)
    if choice is None:
        st.info("Choose at least one format.")
        return
    codes = choose_codes(report) if isinstance(report, Report) else []
    names = choose_clips(report) if isinstance(report, Report) else []
    command = command_of(ckpt, choice, codes, names)
    # Read now: when the button is pressed there is no page to ask what is chosen.
    clips = data.clips(state.current().clips).clips if codes or names else []

    def further() -> list[FigureEntry[Any]]:
        return [*figures_of_codes(ckpt, report, clips, codes), *figures_of_clips(ckpt, report, clips, names)]

    offer(report, choice, command, further)
    with st.expander("The same from a terminal", icon=":material/terminal:"):
        st.code(command, language="bash", wrap_lines=True)
        st.caption(
            "The zip's manifest holds these lines, the checkpoint's sha256, the clips' fingerprint and the seed."
        )
        if codes and code_facts.on_own_skeleton(report.clips):
            st.caption(NO_POSES)


def choose(report: Analysed) -> Choice | None:
    """Figures, size, formats and whether titles are drawn; None without a format."""
    titles = {entry.title: entry for entry, _ in figures_of(report)}
    # Titles, not names: the address holds what is shown.
    figures = st.multiselect(
        "Figures", list(titles), default=[title for title, entry in titles.items() if not entry.detail], key="figures",
        bind="query-params", help="Those of the pages, and the same for other metrics and corpora.",
    )  # fmt: skip
    formats = st.pills(
        "Formats", list(FORMATS), default=list(FORMATS), selection_mode="multi", key="formats", bind="query-params",
        help="PNG at 300 dpi; HTML is one report to send; CSV the numbers, not rounded; tex and md are tables.",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        preset = st.segmented_control(
            "Size", list(PRESETS), default="single", required=True, key="preset", bind="query-params",
            help="Width: " + ", ".join(f"{name} {preset.width:g} mm" for name, preset in PRESETS.items()) + ".",
        )  # fmt: skip
        titled = st.toggle("Titles in the figures", key="titles", bind="query-params", help="A paper has captions.")
    chosen = tuple(name for name in FORMATS if name in formats)
    names = tuple(entry.name for title, entry in titles.items() if title in figures)
    return Choice(chosen, names, preset or "single", titled) if chosen else None


def choose_codes(report: Report) -> list[tuple[int, int]]:
    """Layer and code of each code whose figures are wanted too."""
    selected = linked.news("export", linked.CODES)
    if selected and "codes" not in st.query_params:
        st.session_state["codes"] = ", ".join(f"{layer}:{code}" for layer, code in selected[:MOST_CODES])
    written = st.text_input(
        "Codes", key="codes", bind="query-params", width=340, placeholder="1:17, 2:5",
        help="Figures of single codes, as layer:code: what each looks like, and its usage over clips.",
    )  # fmt: skip
    found: dict[tuple[int, int], None] = {}
    for text in filter(None, re.split(r"[\s,;]+", written or "")):
        try:
            found[read_code(text, report)] = None
        except RVQLensError as error:
            components.error_box(error)
    return list(found)


def choose_clips(report: Report) -> list[str]:
    """Clips whose figures over time are wanted too."""
    return st.multiselect(
        "Clips", report.clips["clip"].tolist(), key="clips_drawn", bind="query-params", width=560,
        placeholder="none", help="Figures of single clips over time: their codes and, where they move, the error.",
    )  # fmt: skip


def offer(report: Analysed, choice: Choice, command: str, further: Callable[[], list[FigureEntry[Any]]]) -> None:
    """The button; what it gives is made when it is pressed."""
    name = name_of(report)
    st.download_button(
        "Make and download the zip", partial(make, report, choice, command, further), f"{name}-export.zip",
        "application/zip", on_click="ignore", type="primary", icon=":material/download:", key="make_export",
    )  # fmt: skip
    st.caption(f"{len(choice.figures or ())} figures: some seconds.")


def make(report: Analysed, choice: Choice, command: str, further: Callable[[], list[FigureEntry[Any]]]) -> bytes:
    return zipped(export_files(report, choice, command, further=further()))


def figures_of_codes(
    ckpt: Subject, report: Analysed, clips: Sequence[Clip], codes: list[tuple[int, int]]
) -> list[FigureEntry[Any]]:
    """Those of each code, with its poses; a set of body parts has none."""
    if isinstance(ckpt, PartSet) or isinstance(report, PartsReport):
        return []
    return [
        entry for layer, code in codes for entry in code_figures(layer, code, Held(ckpt, report, clips, layer))
    ]  # fmt: skip


def figures_of_clips(
    ckpt: Subject, report: Analysed, clips: Sequence[Clip], names: list[str]
) -> list[FigureEntry[Any]]:
    """Those of each clip; without a decoder, or of indices, its codes alone."""
    if isinstance(ckpt, PartSet) or isinstance(report, PartsReport) or not names:
        return []
    moving = {clip.name: clip for clip in clips if ckpt.model is not None and clip.representation != TOKENS.name}
    pipeline = Pipeline(ckpt, "cpu")
    return [
        entry
        for name in names
        for entry in clip_figures(
            clip_number(name, report), report, motion_of(pipeline, moving[name]) if name in moving else None
        )
    ]


def command_of(ckpt: Subject, choice: Choice, codes: list[tuple[int, int]], clips: list[str]) -> str:
    """The lines that do the same from a terminal."""
    selection = state.current()
    analysis = ["rvq-lens", "analyze", str(ckpt.path), *map(str, _files(ckpt, selection)), "--out", "report"]
    for option, value in selection.reading._asdict().items():
        if value is not None:
            analysis += [f"--{option.replace('_', '-')}", str(value)]
    options = ["--formats", ",".join(choice.formats), "--figures", ",".join(choice.figures or ())]
    options += ["--preset", choice.preset, *(["--titles"] if choice.titles else [])]
    options += [word for layer, code in codes for word in ("--code", f"{layer}:{code}")]
    options += [word for name in clips for word in ("--clip", name)]
    options += ["--checkpoint", str(ckpt.path)] if codes or clips else []
    options += ["--clips", *map(str, _files(ckpt, selection))] if clips else []
    return f"{shlex.join(analysis)}\n{shlex.join(['rvq-lens', 'export', 'report', '--out', 'export', *options])}"


def _files(ckpt: Subject, selection: state.Selection) -> list[Path]:
    """The chosen files or folders; where only held-out clips are shown, the files of those."""
    if not selection.held_out_only:
        return list(selection.clips)
    kept = data.held_out(ckpt, data.clips(selection.clips)).clips
    return list(dict.fromkeys(clip.source for clip in kept if clip.source is not None))


main()
