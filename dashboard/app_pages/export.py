"""Export: figures and tables of what is shown, as one zip that is made when it is asked for."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard import components, data, obtain, state
from dashboard.export.build import FORMATS, Choice, export_files, zipped
from dashboard.export.sources import figures_of
from dashboard.paper import PRESETS
from rvq_core.loading import Checkpoint
from rvq_core.report import Report


def main() -> None:
    st.title("Export", anchor=False)
    opened = components.opened_or_stop()
    ckpt, report = opened.checkpoint, obtain.report_or_stop(opened)
    components.measured_on(report)
    choice = choose(report)
    if choice is None:
        st.info("Choose at least one format.")
        return
    command = command_of(ckpt, choice)
    offer(report, choice, command)
    with st.expander("The same from a terminal", icon=":material/terminal:"):
        st.code(command, language="bash", wrap_lines=True)
        st.caption(
            "The zip's manifest holds these lines, the checkpoint's sha256, the clips' fingerprint and the seed."
        )


def choose(report: Report) -> Choice | None:
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


def offer(report: Report, choice: Choice, command: str) -> None:
    """The button; what it gives is made when it is pressed."""
    name = report.manifest["checkpoint"]["name"]
    st.download_button(
        "Make and download the zip", partial(make, report, choice, command), f"{name}-export.zip", "application/zip",
        on_click="ignore", type="primary", icon=":material/download:", key="make_export",
    )  # fmt: skip
    st.caption(f"{len(choice.figures or ())} figures: some seconds.")


def make(report: Report, choice: Choice, command: str) -> bytes:
    return zipped(export_files(report, choice, command))


def command_of(ckpt: Checkpoint, choice: Choice) -> str:
    """The lines that do the same from a terminal."""
    selection = state.current()
    analysis = ["rvq-lens", "analyze", str(ckpt.path), *map(str, _files(ckpt, selection)), "--out", "report"]
    for option, value in selection.reading._asdict().items():
        if value is not None:
            analysis += [f"--{option.replace('_', '-')}", str(value)]
    options = ["--formats", ",".join(choice.formats), "--figures", ",".join(choice.figures or ())]
    options += ["--preset", choice.preset, *(["--titles"] if choice.titles else [])]
    return f"{shlex.join(analysis)}\n{shlex.join(['rvq-lens', 'export', 'report', '--out', 'export', *options])}"


def _files(ckpt: Checkpoint, selection: state.Selection) -> list[Path]:
    """The chosen files or folders; where only held-out clips are shown, the files of those."""
    if not selection.held_out_only:
        return list(selection.clips)
    kept = data.held_out(ckpt, data.clips(selection.clips)).clips
    return list(dict.fromkeys(clip.source for clip in kept if clip.source is not None))


main()
