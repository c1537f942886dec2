"""How reports and comparisons show themselves in a notebook: what they are measured on, findings, the main numbers."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from rvq_core.counted import counted, plural

if TYPE_CHECKING:
    from rvq_core.compare import Comparison
    from rvq_core.report import Report

COLUMNS = (
    "layer", "codes", "tokens", "perplexity", "perplexity_low", "perplexity_high", "unseen", "top1_share",
    "residual_energy",
)  # fmt: skip
ERRORS = ("metric", "value", "low", "high", "reference", "unit")
DIFFERENCES = ("checkpoint", "metric", "n_active", "value", "baseline", "delta", "low", "high", "unit", "words")
LAYERS = ("checkpoint", "layer", "value", "baseline", "delta", "low", "high", "words")


def report_html(report: Report) -> str:
    """A report as HTML that needs no script; all its texts are escaped."""
    checkpoint, clips = report.manifest["checkpoint"], report.manifest["clips"]
    tokens = int(report.layers["tokens"].iloc[0])
    measured = f"{tokens:,} {plural('token', tokens)} a layer of {counted(clips['count'], 'clip')}"
    parts = [
        f"<h4>{escape(str(checkpoint['name']))} ({escape(str(checkpoint['format']))})</h4>",
        f"<p>Measured on {measured} ({clips['seconds']:,.1f} s).</p>",
        *(f"<p>{escape(text)}</p>" for text in report.manifest["warnings"]),
    ]
    if report.manifest["verdicts"]:
        found = report.manifest["verdicts"]
        items = "".join(f"<li><b>{escape(each['severity'])}</b>: {escape(each['finding'])}</li>" for each in found)
        parts.append(f"<ul>{items}</ul>")
    parts.append(_table(report.layers, COLUMNS))
    rows = report.overall
    if len(rows):
        depth = int(rows["n_active"].max())
        parts.append(f"<p>Error with all {depth} quantizers (reference: without quantization):</p>")
        parts.append(_table(rows[rows["n_active"] == depth], ERRORS))
    return f"<div>{''.join(parts)}</div>"


def comparison_html(comparison: Comparison) -> str:
    """A comparison as HTML that needs no script; all its texts are escaped."""
    clips = comparison.manifest["clips"]
    refused = [f"Not compared: {each['what']} of {each['checkpoint']}: {each['reason']}" for each in comparison.refused]
    told = [*comparison.manifest["summary"], *refused, *comparison.manifest["warnings"]]
    parts = [
        f"<h4>{escape(', '.join(comparison.names[1:]))} against {escape(comparison.baseline)}</h4>",
        f"<p>Measured on the same {counted(clips['count'], 'clip')} ({clips['seconds']:,.1f} s).</p>",
        f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul>",
    ]
    metrics, layers = comparison.tables["metrics"], comparison.tables["layers"]
    metrics = metrics[metrics["n_active"] >= 0]
    deepest = metrics.groupby(["checkpoint", "metric"])["n_active"].transform("max")
    for title, rows, columns in (
        ("Error with all quantizers", metrics[metrics["n_active"] == deepest], DIFFERENCES),
        ("Perplexity of each layer", layers[layers["figure"] == "perplexity"], LAYERS),
    ):
        if len(rows):
            parts.append(f"<p>{title} (difference to the baseline, with its interval):</p>{_table(rows, columns)}")
    return f"<div>{''.join(parts)}</div>"


def _table(table: pd.DataFrame, columns: tuple[str, ...]) -> str:
    shown = table[[name for name in columns if name in table]]
    return shown.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.4g}")
