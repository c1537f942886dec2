"""The figures of one code: its usage over clips and, where its checkpoint is at hand, what it looks like."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from dashboard.export.numbers import OfReport
from dashboard.export.registry import FigureEntry
from dashboard.figures.code_usage import code_usage_figure, usage_over_clips
from rvq_core.errors import SettingsError
from rvq_core.report import Report

if TYPE_CHECKING:
    from dashboard.code_poses import Held, Strip


def read_code(text: str, report: Report) -> tuple[int, int]:
    """Layer and code of ``LAYER:CODE``. Raises SettingsError for one that the report does not hold."""
    sizes = report.layers.set_index("layer")["codes"]
    found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text.strip())
    layer, code = (int(found[1]), int(found[2])) if found else (0, 0)
    if layer not in sizes.index or code >= int(sizes[layer]):
        raise SettingsError(
            "code", expected=f"LAYER:CODE, layers 1 to {len(sizes)}, codes from 0 on to one less than the layer has",
            found=text, do="write 1:17 for code 17 of layer 1",
        )  # fmt: skip
    return layer, code


def code_figures(layer: int, code: int, held: Held | None = None) -> list[FigureEntry[Report]]:
    """The figures of a code (``layer`` 1-based); without ``held`` those that the report alone can draw."""
    name, whose = f"code_{layer}_{code}", f"code {code} of layer {layer}"
    entries = [FigureEntry(f"{name}_clips", f"Usage of {whose} over clips", "code_clips", _usage(layer, code), _draw)]
    if held is None:
        return entries
    strips = {
        "alone": ("alone", "code_poses", held.alone(code)),
        "context": ("with the others' average", "code_poses", held.in_context(code)),
        "line": ("on the way to the nearest code", "code_line", _to_nearest(held, code)),
    }
    return entries + [
        _of_strip(f"{name}_{key}", f"{whose[0].upper()}{whose[1:]}, {title}", what, strip)
        for key, (title, what, strip) in strips.items()
        if strip is not None
    ]


def _to_nearest(held: Held, code: int) -> Strip | None:
    from rvq_core.stats.geometry import nearest_to

    near = nearest_to(held.codebook, code, 1).code
    return held.line(code, int(near[0])) if len(near) else None


def _usage(layer: int, code: int) -> OfReport:
    def table(report: Report) -> pd.DataFrame | None:
        found = usage_over_clips(report.tokens, report.clips["clip"].tolist(), layer, code)
        return None if found.empty else found.assign(layer=layer, code=code)

    return table


def _draw(table: pd.DataFrame, report: Report) -> go.Figure:
    own = (report.codes["layer"] == table["layer"].iloc[0]) & (report.codes["code"] == table["code"].iloc[0])
    return code_usage_figure(table, float(report.codes.loc[own, "share"].iloc[0]))


def _of_strip(name: str, title: str, what: str, strip: Strip) -> FigureEntry[Report]:
    def draw(table: pd.DataFrame, _: Report) -> go.Figure:
        return dataclasses.replace(strip, table=table).draw()

    return FigureEntry(name, title, what, lambda _: strip.table, draw)
