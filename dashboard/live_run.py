"""A run that is followed while it trains: its history and its snapshots, as its folder has them now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import components, data
from dashboard.figures.training import usage_over_training
from rvq_core.errors import RVQLensError
from rvq_core.training.run_folder import RunFolder
from rvq_core.training.survival import survival_summary

EVERY = 3.0
"""Seconds between two looks at a run that is not done."""

MOST_MOVED = 50
"""Codes that are listed, those that moved farthest."""

CODE_COLUMNS = {
    "spacings": st.column_config.NumberColumn("moved (neighbour distances)", format="%.2f"),
    "moved": st.column_config.NumberColumn("moved (L2)", format="%.3g"),
}

Draw = Callable[[pd.DataFrame], None]


def show(folder: RunFolder, name: str, others: pd.DataFrame, draw: Draw) -> None:
    """Draw the history of the run in ``folder`` with that of ``others``, anew every few seconds until it is done."""
    history = _history_or_error(folder)
    if history is not None:
        every = None if _is_done(folder, history) else EVERY
        st.fragment(_look, run_every=every)(folder.path, name, others, draw, every is not None)


def _look(path: Path, name: str, others: pd.DataFrame, draw: Draw, followed: bool) -> None:
    folder = RunFolder(path)
    history = _history_or_error(folder)
    if history is None:
        return
    if followed and _is_done(folder, history):
        st.rerun()  # the whole page: what it tells of the checkpoint is that of the end
    st.caption(_progress(folder, history, followed))
    draw(pd.concat([history.assign(run=name), others], ignore_index=True))
    show_survival(path)


def _history_or_error(folder: RunFolder) -> pd.DataFrame | None:
    """The run's history; None where it cannot be read, which a box then tells."""
    try:
        return data.run_history(folder.history)
    except RVQLensError as error:
        components.error_box(error)
        return None


def _progress(folder: RunFolder, history: pd.DataFrame, followed: bool) -> str:
    step, total = _step(history), folder.iterations
    told = f"Step {step:,} of {total:,}" if total else f"Step {step:,}"
    return f"{told}; this page follows the run." if followed else f"{told}."


def _is_done(folder: RunFolder, history: pd.DataFrame) -> bool:
    total = folder.iterations
    return total is None or _step(history) >= total


def _step(history: pd.DataFrame) -> int:
    """The last step that is told of; 0 before the first."""
    return int(history["iteration"].max()) if len(history) else 0


def show_survival(folder: Path) -> None:
    """Which codes were reset between the snapshots in ``folder``, and how far the others moved; nothing without."""
    try:
        table = data.survival(folder)
    except RVQLensError as error:
        components.error_box(error)
        return
    if table is None:
        return
    components.heading("Codes between snapshots", "survival")
    summary = survival_summary(table)
    shown = [name for name in ("reset", "spacings") if summary[name].notna().any()]
    for place, series in zip(st.columns(2, gap="medium"), shown, strict=False):
        rows = summary.rename(columns={series: "value"})[["iteration", "layer", "value"]].assign(run="")
        with place:
            alt = f"Lines of {series} codes between snapshots over iterations, one a layer"
            components.chart(usage_over_training(rows, series), alt=alt, key=f"survival_{series}")
    last = table[table["iteration"] == table["iteration"].max()]
    since, until = int(last["since"].iloc[0]), int(last["iteration"].iloc[0])
    st.caption(f"The codes that moved farthest between the last two snapshots, {since:,} and {until:,}:")
    most = last.sort_values("spacings", ascending=False, kind="stable").head(MOST_MOVED)
    columns = ["layer", "code", "resets", "moved", "spacings"]
    st.dataframe(most[columns], hide_index=True, column_config=CODE_COLUMNS, placeholder="not counted", height=240)


def show_trends(folder: Path) -> bool:
    """Figures of the snapshots in ``folder`` of another program over their iterations; whether there are any."""
    try:
        table = data.trends(folder)
    except RVQLensError as error:
        components.error_box(error)
        return True
    if table is None:
        return False
    components.heading("Codes over the snapshots", "trends")
    for place, series in zip(st.columns(3, gap="medium"), ("norm", "spacing", "duplicates"), strict=True):
        rows = table[table["series"] == series].assign(run="")
        with place:
            alt = f"Lines of the {series} of codes over iterations, one a layer"
            components.chart(usage_over_training(rows, series), alt=alt, key=f"trend_{series}")
    show_survival(folder)
    return True
