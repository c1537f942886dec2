"""The training of several runs in one figure: that of the report, and others laid over it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dashboard.export.registry import FigureEntry
from dashboard.figures.training import error_over_training, losses_over_training, usage_over_training
from rvq_core.errors import SettingsError
from rvq_core.report import MANIFEST, Report
from rvq_core.training.curves import ERROR, curves, losses


class Run(NamedTuple):
    """The training history of a file or folder, with its name as ``run``."""

    path: Path
    history: pd.DataFrame


USAGE = (("perplexity", "Perplexity"), ("unseen", "Unseen codes"))


def run_at(path: Path) -> Run:
    """The training history of a report, a checkpoint or a run folder.

    Raises RVQLensError where it cannot be read, or tells no history.
    """
    if (path / MANIFEST).is_file():
        report = Report.load(path)
        return _run(path, report.tables.get("training_curves"), str(report.manifest["checkpoint"]["name"]))
    from rvq_core.loading import load_checkpoint  # imports torch

    ckpt = load_checkpoint(path)
    return run_of(path, ckpt.training, ckpt.name)


def run_of(path: Path, training: dict[str, Any], name: str) -> Run:
    """The history of an opened checkpoint. Raises SettingsError where it tells none."""
    return _run(path, curves(training), name)


def _run(path: Path, table: pd.DataFrame | None, name: str) -> Run:
    if table is None or table.empty:
        raise SettingsError(
            "--over", expected="a checkpoint of rvq-lens train, or a report of one", found=f"{path} without a history",
            do="leave it out",
        )  # fmt: skip
    return Run(path, table.assign(run=name))


def run_figures(report: Report, others: Sequence[Run]) -> list[FigureEntry[Report]]:
    """The figures of the Training page with ``others`` laid over the report's run.

    Raises SettingsError where the report tells no history.
    """
    own = report.tables.get("training_curves")
    if own is None or own.empty:
        raise SettingsError(
            "--over", expected="the report of a checkpoint of rvq-lens train", found="one without a history",
            do="export the report of such a checkpoint",
        )  # fmt: skip
    runs = _named_apart([own.assign(run=str(report.manifest["checkpoint"]["name"])), *(run.history for run in others)])
    names = losses(runs)
    layers = sorted(int(layer) for layer in runs["layer"].dropna().unique())
    return [
        FigureEntry(
            "runs_error", "Held-out error over training, several runs", "training", partial(_of, runs, [ERROR], None),
            lambda table, _: error_over_training(table),
        ),
        FigureEntry(
            "runs_losses", "Losses over training, several runs", "losses", partial(_of, runs, names, None),
            lambda table, _: losses_over_training(table, losses(table)),
        ),
        *(
            FigureEntry(
                f"runs_{series}_{layer}", f"{title} of layer {layer} over training, several runs", "training_usage",
                partial(_of, runs, [series], layer), lambda table, _, series=series: usage_over_training(table, series),
            )
            for series, title in USAGE
            for layer in layers
        ),
    ]  # fmt: skip


def _named_apart(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows; runs of one name are numbered, else they would be one line."""
    seen: dict[str, int] = {}
    named: list[pd.DataFrame] = []
    for table in tables:
        name = str(table["run"].iloc[0])
        seen[name] = seen.get(name, 0) + 1
        named.append(table if seen[name] == 1 else table.assign(run=f"{name} ({seen[name]})"))
    return pd.concat(named, ignore_index=True)


def _of(runs: pd.DataFrame, series: Sequence[str], layer: int | None, _: Report) -> pd.DataFrame | None:
    rows = runs[runs["series"].isin(series)]
    rows = rows if layer is None else rows[rows["layer"] == layer]
    return None if rows.empty else rows
