"""Export: figures and tables of what is shown, as one zip that is made when it is asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dashboard import components, data, linked, obtain, state
from dashboard.analyses import groups_from
from dashboard.export.build import FORMATS, Choice, export_files, zipped
from dashboard.export.codes import read_code
from dashboard.export.further import Further, Material, further_figures
from dashboard.export.registry import FigureEntry
from dashboard.export.runs import Run, run_of
from dashboard.export.sources import figures_of, name_of
from dashboard.opened import Analysed, Subject
from dashboard.paper import PRESETS
from rvq_core.clips.representations import TOKENS
from rvq_core.errors import RVQLensError, SettingsError
from rvq_core.loading import Checkpoint
from rvq_core.parts import PartSet
from rvq_core.report import Report
from rvq_core.training.curves import curves

MOST_CODES = 20
"""Selected codes that the field begins with: each has figures of its own."""

DENSITY, UMAP = "with what the encoder gives", "by UMAP"
UMAP_SEED = 0


def main() -> None:
    st.title("Export", anchor=False)
    ckpt = components.subject_or_stop()
    report = obtain.analysed_or_stop(ckpt)
    components.measured_on(report)
    choice = choose(report)
    if choice is None:
        st.info("Choose at least one format.")
        return
    further: Callable[[], list[FigureEntry[Report]]] = list
    asked, refused = Further(), False
    if isinstance(report, Report) and not isinstance(ckpt, PartSet):
        asked, refused = choose_further(ckpt, report)
        # Read now: when the button is pressed there is no page to ask what is chosen.
        clips = components.chosen_clips(ckpt).clips if asked.needs_clips else None
        further = partial(further_figures, asked, Material(report, ckpt, clips, data.store))
    command = command_of(ckpt, choice, asked)
    offer(report, choice, command, further, asked.kinds, refused=refused)
    with st.expander("The same from a terminal", icon=":material/terminal:"):
        st.code(command, language="bash", wrap_lines=True)
        st.caption(
            "The zip's manifest holds these lines, the checkpoint's sha256, the clips' fingerprint and the seed."
        )


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


def choose_further(ckpt: Checkpoint, report: Report) -> tuple[Further, bool]:
    """Figures of codes, clips, maps and runs that are wanted too, and whether codes are asked for that are none."""
    codes, refused = choose_codes(report)
    names = choose_clips(report)
    maps = choose_maps(report)
    runs = choose_runs() if len(curves(ckpt.training)) else []
    seed = UMAP_SEED if UMAP in maps else None
    return Further(tuple(codes), tuple(names), seed, DENSITY in maps, tuple(runs)), refused


def choose_maps(report: Report) -> list[str]:
    """Maps that the report alone does not hold."""
    of_indices = (report.clips["representation"] == TOKENS.name).all()
    return st.pills(
        "Maps", [UMAP] if of_indices else [DENSITY, UMAP], selection_mode="multi", key="maps", bind="query-params",
        help="UMAP as on the Codebook map, with its usual settings: there at once where it was computed, else it takes "
        "some seconds, the first time about half a minute.",
    )  # fmt: skip


def choose_runs() -> list[Run]:
    """Runs that are laid over the checkpoint's own; what tells no history is told."""
    others = [name for name in state.checkpoints() if name != state.checkpoint_name()]
    wanted = st.multiselect(
        "Training, laid over", others, key="runs_over", bind="query-params", placeholder="none", width=560,
        max_selections=5, help="Figures of the training of this checkpoint with that of others over it.",
    )  # fmt: skip
    found: list[Run] = []
    for name in wanted:
        try:
            opened = components.opened_beside(name, None).checkpoint
            found.append(run_of(opened.path, opened.training, opened.name))
        except RVQLensError as error:
            components.error_box(error)
    return found


def choose_codes(report: Report) -> tuple[list[tuple[int, int]], bool]:
    """Layer and code of each code whose figures are wanted too; whether others are written, told in one box."""
    selected = linked.news("export", linked.CODES)
    if selected and "codes" not in st.query_params:
        st.session_state["codes"] = ", ".join(f"{layer}:{code}" for layer, code in selected[:MOST_CODES])
    written = st.text_input(
        "Codes", key="codes", bind="query-params", width=340, placeholder="1:17, 2:5",
        help="Figures of single codes, as layer:code: what each looks like, and its usage over clips.",
    )  # fmt: skip
    found: dict[tuple[int, int], None] = {}
    refused: list[RVQLensError] = []
    for text in filter(None, re.split(r"[\s,;]+", written or "")):
        try:
            found[read_code(text, report)] = None
        except RVQLensError as error:
            refused.append(error)
    if refused:
        texts, told = ", ".join(error.found for error in refused), refused[0]
        components.error_box(SettingsError("Codes", expected=told.expected, found=texts, do=told.do))
    return list(found), bool(refused)


def choose_clips(report: Report) -> list[str]:
    """Clips whose figures over time are wanted too."""
    return st.multiselect(
        "Clips", report.clips["clip"].tolist(), key="clips_drawn", bind="query-params", width=560,
        placeholder="none", help="Figures of single clips over time: their codes and, where they move, the error.",
    )  # fmt: skip


def offer(
    report: Analysed,
    choice: Choice,
    command: str,
    further: Callable[[], list[FigureEntry[Report]]],
    kinds: Sequence[str],
    *,
    refused: bool,
) -> None:
    """The button; what it gives is made when it is pressed, which it cannot be while something is ``refused``."""
    name = name_of(report)
    st.download_button(
        "Make and download the zip", partial(make, report, choice, command, further), f"{name}-export.zip",
        "application/zip", on_click="ignore", type="primary", icon=":material/download:", key="make_export",
        disabled=refused,
    )  # fmt: skip
    more = f", and those of {' and '.join(kinds)}" if kinds else ""
    st.caption(f"{len(choice.figures or ())} figures{more}: some seconds.")


def make(report: Analysed, choice: Choice, command: str, further: Callable[[], list[FigureEntry[Report]]]) -> bytes:
    return zipped(export_files(report, choice, command, further=further()))


def command_of(ckpt: Subject, choice: Choice, asked: Further) -> str:
    """The lines that do the same from a terminal."""
    selection = state.current()
    corpus = data.corpus(selection.clips)
    reading = [
        word
        for option, value in selection.reading._asdict().items()
        if value is not None
        for word in (f"--{option.replace('_', '-')}", str(value))
    ]
    chosen, files, split = corpus.chosen, list(selection.clips), corpus.split
    if selection.held_out_only:
        chosen = data.held_out(ckpt, chosen)
        files, split = list(dict.fromkeys(clip.source for clip in chosen.clips if clip.source is not None)), None
    clips = [*map(str, files)], [] if split is None else ["--split", str(split)]
    groups = ["--groups", str(corpus.groups)] if groups_from(corpus.groups, chosen).named else []
    analysis = ["analyze", str(ckpt.path), *clips[0], *reading, *clips[1], *groups, "--out", "report"]
    export = ["export", "report", "--out", "export"]
    export += ["--formats", ",".join(choice.formats), "--figures", ",".join(choice.figures or ())]
    export += ["--preset", choice.preset, *(["--titles"] if choice.titles else []), *asked.words()]
    export += ["--checkpoint", str(ckpt.path), *reading] if asked.needs_checkpoint else []
    export += ["--clips", *clips[0], *clips[1]] if asked.needs_clips else []
    return "\n".join(shlex.join(["rvq-lens", *words]) for words in (analysis, export))


main()
