"""What a comparison can show: its figures and tables, as the registry lists those of a report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.export.registry import FigureEntry
from dashboard.export.tables import TableEntry
from dashboard.export.text_table import Column
from dashboard.figures.compare import (
    agreement_image,
    differences,
    matching_image,
    overlaid_errors,
    overlaid_perplexity,
    parallel_coordinates,
)
from dashboard.figures.reconstruction import metric_name
from dashboard.sweep import AXES_AT_FIRST, SWEEP, parallel_axes, short_settings, sweep_table
from rvq_core.compare import Comparison
from rvq_core.stats.metrics import CURVES


def is_canonical(comparison: Comparison) -> bool:
    """Whether joints were posed on the canonical skeleton, so that their errors must be called so."""
    return any(each["representation"] == "smplx_rot6d" for each in comparison.manifest["checkpoints"])


def _curves(comparison: Comparison, metric: str) -> pd.DataFrame | None:
    curves = comparison.tables["curves"]
    rows = curves[curves["metric"] == metric]
    return None if rows.empty else rows


def _usage(comparison: Comparison) -> pd.DataFrame | None:
    usage = comparison.tables["usage"]
    return None if usage.empty else usage


def _differences(comparison: Comparison, metric: str) -> pd.DataFrame | None:
    rows = _full(comparison)
    rows = None if rows is None else rows[(rows["metric"] == metric) & rows["delta"].notna()]
    return None if rows is None or rows.empty else rows


def _draw_errors(table: pd.DataFrame, comparison: Comparison, against: str) -> go.Figure:
    return overlaid_errors(table, against, is_canonical(comparison))


def _draw_differences(table: pd.DataFrame, comparison: Comparison) -> go.Figure:
    return differences(table, comparison.baseline, is_canonical(comparison))


def _draw_perplexity(table: pd.DataFrame, comparison: Comparison) -> go.Figure:
    del comparison
    return overlaid_perplexity(table)


def _agreement(comparison: Comparison, name: str) -> pd.DataFrame | None:
    """Agreement of the layers of a checkpoint with those of the baseline."""
    matching = comparison.tables["matching"]
    rows = matching[matching["checkpoint"] == name]
    return None if rows.empty or rows["ami"].isna().all() else rows


def _draw_agreement(table: pd.DataFrame, comparison: Comparison) -> go.Figure:
    return agreement_image(table, str(table["checkpoint"].iloc[0]), comparison.baseline)


def _moments(comparison: Comparison, name: str, layer: int) -> pd.DataFrame | None:
    """What the codes of a layer of a checkpoint share with those of the baseline."""
    table = comparison.tables.get("shared_moments")
    rows = None if table is None else table[(table["checkpoint"] == name) & (table["layer"] == layer)]
    return None if rows is None or rows.empty else rows


def _draw_moments(table: pd.DataFrame, comparison: Comparison) -> go.Figure:
    return matching_image(table, str(table["checkpoint"].iloc[0]), comparison.baseline)


MOST_PAIRS = 5
"""Checkpoints whose codes are among the main figures; those of more are details."""

_BY_METRIC = (
    ("compared", "Error with the first n quantizers", _curves, partial(_draw_errors, against="n_active")),
    ("compared_bits", "Error against bits", _curves, partial(_draw_errors, against="effective_bps")),
    ("differences", "Difference to the baseline", _differences, _draw_differences),
)


def _sweep(comparison: Comparison) -> pd.DataFrame | None:
    """Of three checkpoints or more the settings that differ and the figures, the error last; a row a checkpoint."""
    full = _full(comparison)
    if len(comparison.names) < SWEEP or full is None:
        return None
    metric = next(name for name in ("mpjpe", *CURVES) if name in set(full["metric"]))
    table = sweep_table(comparison, full[full["metric"] == metric])
    return parallel_axes(table, short_settings(table)[:AXES_AT_FIRST])


def _draw_sweep(table: pd.DataFrame, comparison: Comparison) -> go.Figure:
    del comparison
    return parallel_coordinates(table)


COMPARISON_FIGURES: tuple[FigureEntry[Comparison], ...] = (
    FigureEntry("compared_perplexity", "Perplexity of each layer", "compared_perplexity", _usage, _draw_perplexity),
    *(
        FigureEntry(
            f"{name}_{metric}", f"{title}: {metric_name(metric)}",
            "compared" if name == "differences" else "compared_curves", partial(of, metric=metric), draw,
            detail=metric not in ("mpjpe", "feature_mse"),
        )
        for name, title, of, draw in _BY_METRIC
        for metric in CURVES
    ),
    FigureEntry("sweep", "Settings and figures, a line a checkpoint", "sweep", _sweep, _draw_sweep),
)  # fmt: skip
"""The figures that any comparison may have."""


def comparison_figures(comparison: Comparison) -> list[FigureEntry[Comparison]]:
    """Those, and of each checkpoint how its layers and its codes agree with the baseline's."""
    entries = list(COMPARISON_FIGURES)
    depth = comparison.tables["usage"].groupby("checkpoint")["layer"].max()
    for number, name in enumerate(comparison.names[1:], start=1):
        whose = f"checkpoint {number} and the baseline"
        entries.append(
            FigureEntry(
                f"agreement_{number}", f"Layers that say the same, {whose}", "agreement",
                partial(_agreement, name=name), _draw_agreement, detail=number > MOST_PAIRS,
            )
        )  # fmt: skip
        entries += [
            FigureEntry(
                f"matching_{number}_{layer}", f"Codes of layer {layer} that say the same, {whose}", "moments",
                partial(_moments, name=name, layer=layer), _draw_moments, detail=layer > 1 or number > MOST_PAIRS,
            )
            for layer in range(1, int(depth.get(name, 0)) + 1)
        ]  # fmt: skip
    return entries


def _full(comparison: Comparison) -> pd.DataFrame | None:
    """Differences of errors with all quantizers, a row a checkpoint and metric."""
    metrics = comparison.tables["metrics"]
    rows = metrics[metrics["n_active"] >= 0]
    full = rows[rows["n_active"] == rows.groupby(["checkpoint", "metric"])["n_active"].transform("max")]
    return None if full.empty else full.drop_duplicates(["checkpoint", "metric"], keep="last")


def _errors(comparison: Comparison) -> pd.DataFrame | None:
    """The same with rows of the baseline's own, metric by metric, checkpoints in their order."""
    full = _full(comparison)
    if full is None:
        return None
    first = full.drop_duplicates("metric")
    own = first.assign(
        checkpoint=comparison.baseline, value=first["baseline"], n_active=first["baseline_n_active"], words="baseline"
    ).assign(delta=np.nan, low=np.nan, high=np.nan)
    orders = {"metric": list(dict.fromkeys([*CURVES, *full["metric"]])), "checkpoint": comparison.names}
    both = pd.concat([own, full], ignore_index=True)
    return both.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)].index), kind="stable", ignore_index=True
    )


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _error_columns(comparison: Comparison) -> Sequence[Column]:
    return (
        Column("metric", "Metric", called=partial(metric_name, canonical=is_canonical(comparison)), section=True),
        Column("unit", "Unit", called=_unit, section=True),
        Column("checkpoint", "Checkpoint", key=True),
        Column("n_active", "Quantizers", whole=True),
        Column("value", "Error", best="min", among="metric"),
        Column("delta", "Difference", "low", "high"),
        Column("words", "In words", in_paper=False),
    )


def _layers(comparison: Comparison) -> pd.DataFrame | None:
    layers = comparison.tables["layers"]
    rows = layers[layers["figure"] == "perplexity"]
    return None if rows.empty else rows


LAYERS = (
    Column("checkpoint", "Checkpoint", section=True),
    Column("layer", "Layer", whole=True, key=True),
    Column("value", "Value"),
    Column("baseline", "Baseline"),
    Column("delta", "Difference", "low", "high"),
    Column("words", "In words", in_paper=False),
)

SETTINGS = (
    Column("setting", "Setting", key=True),
    Column("checkpoint", "Checkpoint", across=True),
    Column("value", "Value"),
)


COMPARISON_TABLES: tuple[TableEntry[Comparison], ...] = (
    TableEntry("errors", "Errors with all quantizers", _errors, _error_columns),
    TableEntry("perplexity", "Perplexity of each layer", _layers, lambda _: LAYERS),
    TableEntry(
        "config", "Settings that differ", lambda comparison: comparison.tables["config"],
        lambda _: SETTINGS,
    ),
)  # fmt: skip
"""Every table of a comparison."""
