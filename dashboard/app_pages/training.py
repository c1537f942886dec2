"""Training: the history of a run, stored in its checkpoint or followed in its folder, alone or with others over it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import components, linked, live_run, state
from dashboard.figures.marking import mark_lines
from dashboard.figures.training import error_over_training, losses_over_training, usage_over_training
from rvq_core.errors import RVQLensError
from rvq_core.loading import Checkpoint
from rvq_core.training.curves import ERROR, curves, losses
from rvq_core.training.run_folder import run_folder_of


def main() -> None:
    st.title("Training", anchor=False)
    opened = components.opened_or_stop()
    chosen = opened.checkpoint
    runs = {state.checkpoint_name(): chosen} | others(opened.part)
    tables = {name: curves(ckpt.training).assign(run=name) for name, ckpt in runs.items()}
    table = pd.concat(tables.values(), ignore_index=True)
    tell_without_history(runs, table)
    describe(chosen)
    folder = run_folder_of(chosen.path)
    if folder is not None:
        beside = pd.concat([*list(tables.values())[1:], table.head(0)], ignore_index=True)
        live_run.show(folder, state.checkpoint_name(), beside, show_history)
    else:
        show_history(table)
        if not chosen.training:
            live_run.show_trends(chosen.path.parent)
    show_settings(runs)


def show_history(table: pd.DataFrame) -> None:
    if len(table):
        show_error(table)
        show_losses(table)
        show_usage(table)


def others(part: str | None) -> dict[str, Checkpoint]:
    """Checkpoints to lay over the chosen one, opened (of a set, ``part``); those that cannot be are told."""
    names = [name for name in state.checkpoints() if name != state.checkpoint_name()]
    if not names:
        return {}
    wanted = st.multiselect(
        "Lay over it", names, key="overlay", bind="query-params", placeholder="other checkpoints", max_selections=5,
        width=560, help="Their curves are drawn into the same figures.",
    )  # fmt: skip
    opened: dict[str, Checkpoint] = {}
    for name in wanted:
        try:
            opened[name] = components.opened_beside(name, part).checkpoint
        except RVQLensError as error:
            components.error_box(error)
    return opened


def tell_without_history(runs: dict[str, Checkpoint], table: pd.DataFrame) -> None:
    for name, ckpt in runs.items():
        if name not in set(table["run"]):
            st.info(
                f"**{components.escaped(name)}** (format {ckpt.format}) stores no training history: only "
                "checkpoints that `rvq-lens train` wrote do. Its codes, usage and error are on the other pages; "
                "below stands what its file tells of the model.",
                icon=":material/history_toggle_off:",
            )


def describe(ckpt: Checkpoint) -> None:
    training = ckpt.training
    if "train" in ckpt.corpora:
        held = ckpt.corpora.get("held_out", "nothing was held out")
        st.caption(f"Usage is measured on the training clips ({ckpt.corpora['train']}), the error on others ({held}).")
    held_out = training.get("held_out_clips")
    if held_out:
        st.caption(components.escaped(f"Held out: {', '.join(map(str, held_out))}."))
    if training.get("command"):
        st.code(str(training["command"]), language=None, wrap_lines=True)


def show_error(table: pd.DataFrame) -> None:
    rows = table[table["series"] == ERROR]
    components.heading("Held-out error", "training")
    if rows.empty:
        st.info("This run measured no held-out error: nothing was held out, or its motion has no skeleton.")
        return
    told = [lowest_and_last(str(run), group) for run, group in rows.groupby("run", sort=False)]
    alt = f"Lines of the held-out MPJPE over iterations. {' '.join(told)}"
    components.chart(error_over_training(rows), alt=alt, key="training_error")
    st.caption(components.escaped(" ".join(told)))


def lowest_and_last(run: str, rows: pd.DataFrame) -> str:
    best, last = rows.iloc[int(rows["value"].argmin())], rows.iloc[-1]
    return (
        f"{run}: lowest {best['value']:.1f} mm at iteration {best['iteration']:,}, {last['value']:.1f} mm at the end."
    )


def show_losses(table: pd.DataFrame) -> None:
    names = losses(table)
    if not names:
        return
    components.heading("Losses", "losses")
    alt = f"Small charts over iterations of the losses {', '.join(names)}"
    components.chart(losses_over_training(table, names), alt=alt, key="training_losses")


def show_usage(table: pd.DataFrame) -> None:
    table = table[table["layer"].notna()]
    if table.empty:
        return
    several = table["run"].nunique() > 1
    components.heading("Usage of the codes", "training_usage")
    if several:
        layers = sorted(int(layer) for layer in table["layer"].unique())
        table = table[table["layer"] == components.choose_layer("Layer", layers, key="training_layer")]
    shown = [series for series in ("perplexity", "unseen", "resets") if series in set(table["series"])]
    for place, series in zip(st.columns(len(shown), gap="medium"), shown, strict=True):
        rows = table[table["series"] == series]
        if len(rows):
            with place:
                alt = f"Lines of {series} codes over iterations, one a {'run' if several else 'layer'}"
                figure = usage_over_training(rows, series)
                if not several:
                    mark_lines(figure, linked.current().layers)
                components.chart(figure, alt=alt, key=f"training_{series}")


def show_settings(runs: dict[str, Checkpoint]) -> None:
    table = settings_table(runs)
    components.heading("Settings", "settings")
    if len(runs) > 1:
        only = st.toggle("Only what differs", value=True, key="differs", bind="query-params")
        table = table[table.nunique(axis=1, dropna=False) > 1] if only else table
    if table.empty:
        st.info("These checkpoints have the same settings." if len(runs) > 1 else "The file tells no settings.")
        return
    shown = table.rename_axis("setting").reset_index()
    st.dataframe(shown, hide_index=True, height="content" if len(shown) < 12 else 420)


def settings_table(runs: dict[str, Checkpoint]) -> pd.DataFrame:
    """One column a checkpoint, one row a setting of its model or its run, as text."""
    columns: dict[str, dict[str, str]] = {}
    for name, ckpt in runs.items():
        found = {} if ckpt.config is None else {f"model: {key}": value for key, value in ckpt.config.to_dict().items()}
        settings = ckpt.training.get("settings")
        found |= settings if isinstance(settings, dict) else {}
        columns[name] = {
            key: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            for key, value in found.items()
        }
    return pd.DataFrame(columns).fillna("not told")


main()
