"""The figures of one clip over time: its codes and, where its checkpoint and its motion are at hand, its error."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import words
from dashboard.export.registry import FigureEntry
from dashboard.figures.clip_time import error_over_time, error_table, token_image, token_table
from rvq_core.errors import SettingsError
from rvq_core.report import Report

if TYPE_CHECKING:
    from rvq_core.playback import Playback


def clip_number(name: str, report: Report) -> int:
    """Place of a clip in the report, from 0. Raises SettingsError for a name that it does not hold."""
    names = report.clips["clip"].tolist()
    if name not in names:
        some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise SettingsError("clip", expected=f"a clip of the report ({some})", found=name, do="name one of those")
    return names.index(name)


def clip_figures(number: int, report: Report, playback: Playback | None = None) -> list[FigureEntry[Report]]:
    """The figures of the report's clip ``number``; without ``playback`` those that the report alone can draw.

    Raises SettingsError where the codes of ``playback`` are not those of the report: it is of another motion.
    """
    clip = str(report.clips["clip"].iloc[number])
    name = f"clip_{number + 1}_{re.sub(r'[^A-Za-z0-9]+', '_', clip)}"
    entries = [
        FigureEntry(
            f"{name}_tokens", f"Codes of {clip} over time", "clip_tokens", partial(_tokens, number=number),
            lambda table, _: token_image(table),
        )
    ]  # fmt: skip
    if playback is None:
        return entries
    if not np.array_equal(playback.tokens, report.tokens[number]):
        raise SettingsError(
            "--clips", expected=f"the motion of {clip} that the report measured", found="one that gets other codes",
            do="name the files and options that rvq-lens analyze was given",
        )  # fmt: skip
    if not len(playback.depths):  # latents: nothing is decoded
        return entries

    def table(_: Report) -> pd.DataFrame:
        return error_table(playback.frame_errors, playback.depths, playback.clip.fps)

    def draw(table: pd.DataFrame, report: Report) -> go.Figure:
        return error_over_time(table, playback.metric, playback.unit, words.is_canonical(report.clips))

    return [*entries, FigureEntry(f"{name}_error", f"Error of {clip} over time", "clip_error", table, draw)]


def _tokens(report: Report, *, number: int) -> pd.DataFrame:
    tokens = report.tokens[number]
    groups = report.codes.sort_values(["layer", "code"]).groupby("layer")
    shares = [group["share"].fillna(0.0).to_numpy() for _, group in groups]
    return token_table(tokens, shares, float(report.clips["seconds"].iloc[number]) / len(tokens))
