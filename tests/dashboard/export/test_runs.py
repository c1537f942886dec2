from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.export.runs import Run, run_at, run_figures
from dashboard.export.sources import figures_of
from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from rvq_core.errors import SettingsError
from rvq_core.training.curves import ERROR


def rows(error: float) -> pd.DataFrame:
    steps = np.array([1, 2, 3])
    made = [(ERROR, None, error / steps), ("reconstruction", None, 1.0 / steps), ("perplexity", 1, steps * 4.0)]
    table = [
        (step, series, layer, value)
        for series, layer, values in made
        for step, value in zip(steps, values, strict=True)
    ]
    return pd.DataFrame(table, columns=["iteration", "series", "layer", "value"]).astype({"layer": "Int64"})


@pytest.fixture
def trained(report):
    report.tables["training_curves"] = rows(90.0)
    return report


def test_a_line_a_run_with_its_own_values_on_the_page_and_on_paper(trained):
    name = trained.manifest["checkpoint"]["name"]  # another file of the same name is told apart
    others = [Run(Path("a"), rows(60.0).assign(run=name)), Run(Path("b"), rows(30.0).assign(run="later"))]
    shown = {entry.name: (entry, table) for entry, table in figures_of(trained, [], run_figures(trained, others))}
    assert {"runs_error", "runs_losses", "runs_perplexity_1"} == set(shown)
    entry, table = shown["runs_error"]
    figure = entry.draw(table, trained)
    lines = [trace for trace in figure.data if trace.mode != "markers"]
    assert [line.name for line in lines] == [name, f"{name} (2)", "later"]
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    drawn = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 3]
    for error, line, ink in zip((90.0, 60.0, 30.0), lines, drawn, strict=True):
        assert list(line.y) == pytest.approx([error, error / 2, error / 3])
        assert list(ink) == pytest.approx(list(line.y))


def test_a_report_without_a_history_is_told(report):
    with pytest.raises(SettingsError, match="one without a history"):
        run_figures(report, [Run(Path("x"), rows(1.0).assign(run="x"))])


def test_a_file_without_a_history_is_told(save_checkpoint, tmp_path):
    with pytest.raises(SettingsError, match="without a history"):
        run_at(save_checkpoint(tmp_path / "plain.safetensors"))
