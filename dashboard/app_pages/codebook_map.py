"""Codebook map: where the codes of all layers lie; principal components at once, UMAP when asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import components, data, job_box, linked, obtain, state, words
from dashboard.analyses import codebooks as codebooks_of
from dashboard.figures.codebook_map import COLOURS, codebook_map
from dashboard.figures.marking import mark_codes
from dashboard.jobs import State
from dashboard.second import JOINT, Second, choose_second, joined, with_norms
from dashboard.settings import UmapSettings
from rvq_core.clips.representations import TOKENS
from rvq_core.errors import RVQLensError
from rvq_core.loading import Checkpoint
from rvq_core.report import Report
from rvq_core.stats.projection import METRICS, Projection, place_on_plane, taken_apart

ALL_LAYERS = "all together"
SCALES = {"raw": "raw", "per layer": "per_layer"}
NEEDS = {"usage": "count", "EMA count": "ema_count", "status": "count"}
"""Column that a colour needs, where not every checkpoint has it."""


class Choice(NamedTuple):
    """What is drawn; ``layers`` are 1-based, those of a second checkpoint counted on from the last of the first."""

    method: str
    layers: tuple[int, ...]
    scale: str
    colour: str


class Picture(NamedTuple):
    """What the map is drawn of: codes with their places, those of a second checkpoint, and what lies behind."""

    points: pd.DataFrame
    axes: tuple[str, str]
    projection: Projection
    second: pd.DataFrame | None
    behind: NDArray[np.float64] | None


def main() -> None:
    st.title("Codebook map", anchor=False)
    opened = components.opened_or_stop()
    ckpt, report = opened.checkpoint, obtain.report_or_none(opened)
    codes = usage_not_known(ckpt) if report is None else report.codes
    if report is not None:
        components.measured_on(report)
    own = codebooks_of(ckpt)
    paths = [ckpt.path]
    known = [name for name in COLOURS if is_known(codes, name)]
    # What an analysis will tell is offered before it does: a choice made (or not made) meanwhile holds afterwards.
    to_come = ("usage", "status") if report is None and ckpt.model is not None else ()
    choice = choose(len(own), [name for name in COLOURS if name in known or name in to_come])
    choice = choice._replace(colour=choice.colour if choice.colour in known else known[0])
    second = choose_second(own, choice.layers, opened.part)
    codebooks, shas = own, ckpt.sha256
    if second is not None:
        codebooks, shas = own + second.codebooks, f"{shas} {second.sha256}"
        paths.append(second.path)
        choice = choice._replace(layers=(*choice.layers, *joined(choice.layers, len(own), len(second.codebooks))))
    projection, axes = project(shas, codebooks, choice, paths)
    first, *others = taken_apart(projection.table, [len(own)] if second is None else [len(own), len(second.codebooks)])
    points = first.merge(codes, on=["layer", "code"], validate="one_to_one")
    behind = residuals_behind(ckpt, codebooks, choice, projection) if report is not None else None
    beside = None if second is None else with_norms(others[0], second)
    show_map(ckpt, Picture(points, axes, projection, beside, behind), choice.colour, second)
    if report is not None:
        show_geometry(report)


def usage_not_known(ckpt: Checkpoint) -> pd.DataFrame:
    """The codes with their norms and EMA counts alone."""
    st.caption("Until clips can be run through this checkpoint usage is not known; norms and places are.")
    tables = []
    for number, codebook in enumerate(ckpt.codebooks):
        norms = codebook.norm(dim=1).cpu().numpy()
        ema = np.nan if ckpt.ema_counts is None else ckpt.ema_counts[number].cpu().numpy()
        tables.append(
            pd.DataFrame({"layer": number + 1, "code": np.arange(len(norms)), "norm": norms, "ema_count": ema})
        )
    table = pd.concat(tables, ignore_index=True)
    return table.assign(count=np.nan, share=np.nan, nearest_distance=np.nan, status="usage not known")


def is_known(codes: pd.DataFrame, colour: str) -> bool:
    return colour not in NEEDS or bool(codes[NEEDS[colour]].notna().any())


def choose(quantizers: int, colours: list[str]) -> Choice:
    """Method, layers, scale and colour."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Projection", ["PCA", "UMAP"], default="PCA", required=True, key="projection", bind="query-params"
        )
        options = [ALL_LAYERS, *(f"layer {number}" for number in range(1, quantizers + 1))]
        which = st.selectbox("Layers", options, key="map_layers", bind="query-params", width=140)
        scale = st.segmented_control(
            "Scale", list(SCALES), default="raw", required=True, key="scale", bind="query-params",
            help="Per layer: each layer is centred and divided by its spread, so that deep layers are not a dot.",
        )  # fmt: skip
        colour = st.segmented_control(
            "Colour", colours, default=colours[0], required=True, key="colour", bind="query-params"
        )
    number = options.index(which or ALL_LAYERS)
    layers = tuple(range(1, quantizers + 1)) if number == 0 else (number,)
    return Choice(method or "PCA", layers, SCALES[scale or "raw"], colour or colours[0])


def project(
    shas: str, codebooks: list[np.ndarray], choice: Choice, paths: list[Path]
) -> tuple[Projection, tuple[str, str]]:
    """Coordinates and axis titles; principal components until UMAP coordinates are there."""
    if choice.method == "UMAP":
        settings = umap_settings(choice.layers, choice.scale)
        found = data.umap_of(shas, settings, codebooks)
        if found is not None:
            return found, ("UMAP 1 (no unit)", "UMAP 2 (no unit)")
        offer_umap(shas, settings, codebooks, paths)
    projection = data.pca_of(shas, choice.scale, choice.layers, codebooks)
    first, second = projection.made_by["explained"]
    return projection, (f"component 1 ({first:.0%} of the variance)", f"component 2 ({second:.0%} of the variance)")


def umap_settings(layers: tuple[int, ...], scale: str) -> UmapSettings:
    """Ask for the parameters of UMAP."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        neighbors = st.number_input(
            "n_neighbors", 2, 200, 15, key="n_neighbors", bind="query-params", width=150,
            help="Few show fine structure, many the overall shape.",
        )  # fmt: skip
        min_dist = st.number_input(
            "min_dist", 0.0, 1.0, 0.1, 0.05, key="min_dist", bind="query-params", width=150,
            help="How tightly points may be packed.",
        )  # fmt: skip
        metric = st.selectbox("metric", METRICS, key="metric", bind="query-params", width=150)
        seed = st.number_input(
            "seed", 0, 2**31 - 1, 0, key="seed", bind="query-params", width=150,
            help="Another seed, another picture: trust what all of them show.",
        )  # fmt: skip
    return UmapSettings(layers, int(neighbors), float(min_dist), str(metric), int(seed), scale)


def offer_umap(shas: str, settings: UmapSettings, codebooks: list[np.ndarray], paths: list[Path]) -> None:
    """Show a button that has the coordinates computed, or how far that is; with them the page begins again."""
    key = data.umap_key(shas, settings, codebooks)
    job = data.jobs().find(key)
    if job is None or job.ended.is_set():
        count = sum(len(codebooks[layer - 1]) for layer in settings.layers)
        if job is not None and job.state is State.FAILED:
            job_box.tell_failed(job)
        pressed = st.button("Compute UMAP", type="primary", icon=":material/play_arrow:")
        st.caption(
            f"{count:,} codes: some seconds, the first time about half a minute. Until then, principal components. "
            "Coordinates are kept on this machine with their settings and are there at once the next time."
        )
        if not pressed:
            return
        job = data.ask_umap(key, paths, state.current().reading, settings)
    job_box.show([job], "UMAP was cancelled; the principal components stay.")
    if job.state is State.DONE:
        st.rerun()  # without the button: the coordinates are there now


def residuals_behind(
    ckpt: Checkpoint, codebooks: list[np.ndarray], choice: Choice, projection: Projection
) -> NDArray[np.float64] | None:
    """Where what the layers quantize lies on the plane [N, 2]; None where it is not asked for or cannot be shown."""
    if projection.made_by["method"] != "pca":
        st.caption("UMAP places nothing but codes: what the encoder gives can be drawn behind principal components.")
        return None
    chosen = components.chosen_clips(ckpt)
    if all(clip.representation == TOKENS.name for clip in chosen.clips):
        st.caption("These clips are indices of codes: what the encoder gave is not known.")
        return None
    wanted = st.toggle(
        "What the encoder gives, as a density behind the codes", value=True, key="behind", bind="query-params",
        help="The latents less the codes of the layers before: codes far from all of it are never chosen.",
    )  # fmt: skip
    if not wanted:
        return None
    try:
        sample = data.residuals(ckpt, chosen)
    except RVQLensError as error:
        components.error_box(error)
        return None
    some = [number - 1 for number in choice.layers]
    # Of a second checkpoint nothing is placed, but its codes make the plane.
    vectors = [sample[q] if q < len(sample) else codebooks[q][:0] for q in some]
    placed = place_on_plane([codebooks[q] for q in some], vectors, scale=choice.scale)
    return np.concatenate(placed)


def show_map(ckpt: Checkpoint, picture: Picture, colour: str, second: Second | None) -> None:
    components.heading("Where the codes lie", "map" if picture.behind is None else "map_density")
    points, axes, projection, beside, behind = picture
    name = "" if second is None else second.name
    figure = codebook_map(
        points, colour=colour, x=axes[0], y=axes[1], behind=behind, second=beside, second_name=name
    )  # fmt: skip
    alt = f"Scatter of {len(points):,} codes by {projection.made_by['method'].upper()}, coloured by {colour}"
    if beside is not None:
        alt += f"; outlined, {len(beside):,} codes of {name}"
    chosen = linked.current()
    mark_codes(figure, chosen.codes, chosen.layers)
    components.selectable_chart(figure, alt=alt, view="map", config={"scrollZoom": True})
    drawn = "" if behind is None else f" Behind them {len(behind):,} vectors that these layers get to quantize."
    st.caption(f"{words.map_note(projection.made_by)}{drawn}")
    everything = points
    if beside is not None:
        st.caption(f"Outlined: **{components.escaped(name)}**. {JOINT}")
        own = state.checkpoint_name()
        everything = pd.concat([points.assign(checkpoint=own), beside.assign(checkpoint=name)], ignore_index=True)
    show_selected(ckpt, points, chosen.codes, everything)


def show_geometry(report: Report) -> None:
    """In how many directions codes, and what they have to code, really vary."""
    table = report.tables.get("geometry")
    if table is None:
        return
    components.heading("Shape of each codebook", "geometry")
    st.dataframe(geometry_columns(table), hide_index=True, column_config=GEOMETRY_COLUMNS)


def _digits(value: float) -> str:
    """Three of them, zeros too."""
    return f"{value:#.3g}".rstrip(".")


def geometry_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it is shown: medians, each with its 5 % and 95 % percentile in words."""
    shown = table[["layer", "codes", "channels", "code_dimension", "residual_dimension", "residual_spread"]].copy()
    for name in ("norm", "nearest"):
        shown[name] = [
            "one code" if np.isnan(median) else f"{_digits(median)} ({_digits(low)} to {_digits(high)})"
            for low, median, high in table[[f"{name}_p05", f"{name}_median", f"{name}_p95"]].itertuples(index=False)
        ]
    return shown


def show_selected(
    ckpt: Checkpoint, points: pd.DataFrame, selected: Sequence[linked.Code], everything: pd.DataFrame
) -> None:
    """List what is selected among ``points``; with nothing selected, ``everything`` can be downloaded."""
    wanted = pd.DataFrame(selected, columns=["layer", "code"]).astype(int)
    rows = points.merge(wanted, on=["layer", "code"]).sort_values(["layer", "code"])
    picked = len(rows) > 0
    if picked:
        st.subheader(f"{len(rows):,} selected", anchor=False)
        columns = [name for name in COLUMNS if name in rows and rows[name].notna().any()]
        shown = rows[columns]
        if "cause" in shown:
            shown = shown.assign(cause=shown["cause"].fillna(""))
        st.dataframe(shown, hide_index=True, column_config=COLUMNS)
        layer, code = (int(rows.iloc[0][name]) for name in ("layer", "code"))
        name = f"Open the page of layer {layer}, code {code}"
        if len(rows) == 1 and st.button(name, type="primary", icon=":material/target:"):
            components.open_code(layer, code)
    else:
        rows = everything
        st.caption("Click a code, or draw around some with the box or the lasso of the chart, to list them here.")
    what = f"{'these' if picked else 'all'} {len(rows):,} codes with their" if len(rows) > 1 else "this code with its"
    st.download_button(
        f"Download {what} coordinates (CSV)",
        data=lambda: rows.to_csv(index=False), file_name=f"{file_name(ckpt.name)}_codes.csv", mime="text/csv",
        on_click="ignore", icon=":material/download:",
    )  # fmt: skip


def file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)


COLUMNS = {
    "layer": st.column_config.NumberColumn("layer"),
    "code": st.column_config.NumberColumn("code"),
    **components.CODE_COLUMNS,
    "cause": st.column_config.TextColumn("why"),
}
GEOMETRY_COLUMNS = {
    "layer": st.column_config.NumberColumn("layer"),
    "codes": st.column_config.NumberColumn("codes", format="localized"),
    "channels": st.column_config.NumberColumn("channels C", help="The most that a dimension can be."),
    "code_dimension": st.column_config.NumberColumn("dimension of codes", format="%.1f"),
    "residual_dimension": st.column_config.NumberColumn(
        "of what reaches the layer", format="%.1f", help="Over all tokens of these clips."
    ),
    "residual_spread": st.column_config.NumberColumn(
        "spread of that", format="%.3g", help="Root of the sum of its variances."
    ),
    "norm": st.column_config.TextColumn("norm of codes (90 %)"),
    "nearest": st.column_config.TextColumn("nearest code at (90 %)"),
}

main()
