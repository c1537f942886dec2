"""Maps that a report alone cannot draw: by UMAP, and with what the encoder gives as a density behind the codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard import words
from dashboard.export.numbers import with_codes
from dashboard.export.registry import FigureEntry
from dashboard.figures.codebook_map import COLOURS, codebook_map
from dashboard.settings import UmapSettings
from rvq_core.report import Report

if TYPE_CHECKING:
    from dashboard.store import Store
    from rvq_core.clips import Clip
    from rvq_core.loading import Checkpoint
    from rvq_core.stats.projection import Projection

ENCODER = "encoder"
"""Rows of the density's table that are no codes."""


def umap_figures(codebooks: Sequence[NDArray[np.float32]], seed: int, store: Store | None) -> list[FigureEntry[Report]]:
    """The maps of all layers together by UMAP, computed once when the first is drawn, or taken from ``store``.

    What was computed is kept there, where the dashboard finds it.
    """

    @cache
    def projection() -> Projection:
        from dashboard import projection_store
        from dashboard.store import keep_if_possible

        settings = UmapSettings(tuple(range(1, len(codebooks) + 1)), seed=seed)
        found = None if store is None else projection_store.find(store, settings, codebooks)
        if found is not None:
            return found
        computed = projection_store.compute(settings, codebooks)
        if store is not None:
            keep = partial(projection_store.keep, store, settings, codebooks, computed)
            keep_if_possible(keep, "the coordinates of UMAP could not be kept")
        return computed

    def table(report: Report, colour: str) -> pd.DataFrame | None:
        unknown = colour == "EMA count" and report.codes["ema_count"].isna().all()
        return None if unknown else with_codes(projection().table, report)

    def draw(table: pd.DataFrame, _: Report, colour: str) -> go.Figure:
        return codebook_map(table, colour=colour, x="UMAP 1 (no unit)", y="UMAP 2 (no unit)")

    return [
        FigureEntry(
            f"umap_{colour.replace(' ', '_').lower()}", f"Codes by UMAP, by {colour}", "map",
            partial(table, colour=colour), partial(draw, colour=colour),
            note=lambda: words.map_note(projection().made_by),
        )
        for colour in COLOURS
    ]  # fmt: skip


def density_figure(
    ckpt: Checkpoint, clips: Sequence[Clip], codebooks: Sequence[NDArray[np.float32]]
) -> FigureEntry[Report]:
    """The map by usage with what the layers get to quantize behind it.

    Its table holds both: the codes, and as rows of their own without a code the vectors (``what`` = encoder).
    """

    def table(report: Report) -> pd.DataFrame:
        from rvq_core.residuals import residual_sample
        from rvq_core.stats.projection import place_on_plane

        # One plane for both: the codes are placed with the vectors.
        both = [np.concatenate(pair) for pair in zip(codebooks, residual_sample(ckpt, clips), strict=True)]
        placed = pd.concat(
            [
                pd.DataFrame({"layer": q, "code": np.arange(len(xy)), "x": xy[:, 0], "y": xy[:, 1]})
                for q, xy in enumerate(place_on_plane(codebooks, both), start=1)
            ]
        )
        is_code = placed["code"] < placed["layer"].map({q: len(codes) for q, codes in enumerate(codebooks, start=1)})
        codes, behind = with_codes(placed[is_code], report), placed.loc[~is_code, ["layer", "x", "y"]]
        return pd.concat([codes.assign(what="code"), behind.assign(what=ENCODER)], ignore_index=True)

    title = "Where the codes and the encoder's vectors lie"
    return FigureEntry("map_density", title, "map_density", table, _draw_density)


def _draw_density(table: pd.DataFrame, _: Report) -> go.Figure:
    codes = table[table["what"] == "code"].astype({"code": "int64", "count": "int64"})
    behind = table.loc[table["what"] == ENCODER, ["x", "y"]].to_numpy()
    return codebook_map(codes, colour="usage", behind=behind)
