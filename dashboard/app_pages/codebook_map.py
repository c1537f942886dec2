"""Codebook map: where the codes of all layers lie; principal components at once, UMAP when asked for."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import components, data
from dashboard.figures.codebook_map import COLOURS, codebook_map
from dashboard.figures.theme import CONFIG
from dashboard.projection_store import UmapSettings
from rvq_core.errors import RVQLensError
from rvq_core.loading import Checkpoint
from rvq_core.stats.projection import METRICS, Projection

ALL_LAYERS = "all together"
SCALES = {"raw": "raw", "per layer": "per_layer"}


def main() -> None:
    st.title("Codebook map", anchor=False)
    ckpt = components.checkpoint_or_stop()
    codes = codes_of(ckpt)
    codebooks = [codebook.detach().cpu().float().numpy() for codebook in ckpt.codebooks]
    method, layers, scale, colour = choose(len(codebooks), has_usage=bool(codes["count"].notna().any()))
    projection, axes = project(ckpt, codebooks, method, layers, scale)
    points = projection.table.merge(codes, on=["layer", "code"], validate="one_to_one")
    show_map(points, colour, axes, projection)


def codes_of(ckpt: Checkpoint) -> pd.DataFrame:
    """Codes with their usage; where no clip can be run through the checkpoint, with their norms only."""
    report = components.report_or_none(ckpt)
    if report is not None:
        components.measured_on(report)
        return report.codes
    st.caption("Until clips can be run through this checkpoint usage is not known; norms and places are.")
    tables = []
    for layer, codebook in enumerate(ckpt.codebooks, start=1):
        norms = codebook.norm(dim=1).cpu().numpy()
        tables.append(pd.DataFrame({"layer": layer, "code": np.arange(len(norms)), "norm": norms}))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(count=np.nan, share=np.nan, nearest_distance=np.nan, status="usage not known")


def choose(quantizers: int, *, has_usage: bool) -> tuple[str, tuple[int, ...], str, str]:
    """Method, layers (1-based), scale and colour."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Projection", ["PCA", "UMAP"], default="PCA", required=True, key="projection", bind="query-params"
        )
        options = [ALL_LAYERS, *(f"layer {number}" for number in range(1, quantizers + 1))]
        which = st.selectbox("Layers", options, key="map_layers", bind="query-params", width=160)
        scale = st.segmented_control(
            "Scale", list(SCALES), default="raw", required=True, key="scale", bind="query-params",
            help="Per layer: each layer is centred and divided by its spread, so that deep layers are not a dot.",
        )  # fmt: skip
        offered = list(COLOURS) if has_usage else [name for name in COLOURS if name != "usage"]
        colour = st.segmented_control(
            "Colour", offered, default=offered[0], required=True, key="colour", bind="query-params"
        )
    number = options.index(which or ALL_LAYERS)
    layers = tuple(range(1, quantizers + 1)) if number == 0 else (number,)
    return method or "PCA", layers, SCALES[scale or "raw"], colour or offered[0]


def project(
    ckpt: Checkpoint, codebooks: list[np.ndarray], method: str, layers: tuple[int, ...], scale: str
) -> tuple[Projection, tuple[str, str]]:
    """Coordinates and axis titles; principal components until UMAP coordinates are there."""
    if method == "UMAP":
        settings = umap_settings(layers, scale)
        found = data.umap_of(settings, codebooks)
        if found is not None:
            return found, ("UMAP 1 (no unit)", "UMAP 2 (no unit)")
        offer_umap(settings, codebooks)
    projection = data.pca_of(ckpt.sha256, scale, layers, codebooks)
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


def offer_umap(settings: UmapSettings, codebooks: list[np.ndarray]) -> None:
    """Show a button; once pressed, wait for the coordinates and begin the page again with them."""
    count = sum(len(codebooks[layer - 1]) for layer in settings.layers)
    name = data.umap_name(settings, codebooks)
    job = data.umap_jobs().get(name)
    if job is None or job.done.is_set():
        pressed = st.button("Compute UMAP", type="primary", icon=":material/play_arrow:")
        st.caption(
            f"{count:,} codes: some seconds, the first time about half a minute. Until then, principal components."
        )
        if job is not None and job.error is not None:
            tell(job.error)
        if not pressed:
            return
        job = data.start_umap(settings, codebooks)
    with st.spinner(f"UMAP of {count:,} codes; it goes on while you look at other pages", show_time=True):
        while not job.done.wait(0.5):
            time.sleep(0)  # gives Streamlit the chance to end this run when something else is chosen
    if job.error is not None:
        tell(job.error)
        return
    st.rerun()  # without the button: the coordinates are there now


def tell(error: Exception) -> None:
    if isinstance(error, RVQLensError):
        components.error_box(error)
    else:
        st.error(f"UMAP failed: {error}. Try other settings; the principal components stay.", icon=":material/error:")


def show_map(points: pd.DataFrame, colour: str, axes: tuple[str, str], projection: Projection) -> None:
    components.heading("Where the codes lie", "map")
    figure = codebook_map(points, colour=colour, x=axes[0], y=axes[1])
    alt = f"Scatter of {len(points):,} codes by {projection.made_by['method'].upper()}, coloured by {colour}"
    event = st.plotly_chart(
        figure,
        alt=alt,
        key="map",
        config=CONFIG | {"scrollZoom": True},
        on_select="rerun",
        selection_mode=["points", "box", "lasso"],
    )
    made_by = ", ".join(f"{name} = {value}" for name, value in projection.made_by.items() if name != "explained")
    st.caption(f"Made by {made_by}.")
    show_selected(points, event["selection"]["points"])


def show_selected(points: pd.DataFrame, selected: list[dict[str, Any]]) -> None:
    if not selected:
        st.caption("Click a code, or draw around some with the box or the lasso of the chart, to list them here.")
        return
    wanted = pd.DataFrame([point["customdata"][:2] for point in selected], columns=["layer", "code"]).drop_duplicates()
    rows = points.merge(wanted.astype(int), on=["layer", "code"])
    st.subheader(f"{len(rows):,} selected", anchor=False)
    columns = [name for name in COLUMNS if name in rows and rows[name].notna().any()]
    shown = rows[columns].sort_values(["layer", "code"])
    if "cause" in shown:
        shown = shown.assign(cause=shown["cause"].fillna(""))
    st.dataframe(shown, hide_index=True, column_config=COLUMNS)


COLUMNS = {
    "layer": st.column_config.NumberColumn("layer"),
    "code": st.column_config.NumberColumn("code"),
    **components.CODE_COLUMNS,
    "cause": st.column_config.TextColumn("why"),
}

main()
