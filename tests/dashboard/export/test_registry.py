import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard import words
from dashboard.export.registry import REPORT_FIGURES, figures_of
from dashboard.figures.theme import GREY
from dashboard.paper.draw import draw, traces_of
from dashboard.paper.style import PRESETS, drawing
from rvq_core.errors import SettingsError
from rvq_core.stats.projection import pca

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def full(make_report):
    """A report that can show every figure."""
    report = make_report()
    rng = np.random.default_rng(1)
    books = [rng.normal(size=(64, 5)) for _ in range(3)]
    report.projections["pca"] = pca(books).table
    return report


def test_names_are_unique_and_explained():
    names = [entry.name for entry in REPORT_FIGURES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)
    assert {entry.what for entry in REPORT_FIGURES} <= set(words.WHAT)


def test_every_figure_of_the_pages_can_be_exported():
    pages = "".join(path.read_text() for path in (ROOT / "dashboard/app_pages").glob("*.py"))
    drawn = set(re.findall(r"\b(\w+_figure|usage_image|codebook_map)\(", pages)) - {"show_figure"}
    listed = (ROOT / "dashboard/export/registry.py").read_text()
    assert {name for name in drawn if name not in listed} <= {"status_figure"}  # drawn by status_bars there


def test_a_report_shows_what_it_has(full):
    shown = [entry.name for entry, _ in figures_of(full)]
    assert [name for name in shown if not name.startswith(("error_", "gain_", "clips_"))] == [
        "perplexity", "status", "usage_image", "usage_image_training", "usage_image_held_out", "usage_curves",
        "usage_curves_training", "usage_curves_held_out", "map_usage", "map_layer", "map_norm", "error", "gain",
        "clips", "residual",
    ]  # fmt: skip
    assert {"error_feature_mse", "gain_velocity_error", "clips_rotation_error"} <= set(shown)
    assert "error_mpjpe" not in shown  # it is the main one already


def test_without_corpora_and_errors_there_are_fewer(make_report):
    report = make_report(corpora=False)
    report = dataclasses.replace(report, reconstruction=report.reconstruction.iloc[:0])
    assert [entry.name for entry, _ in figures_of(report)] == [
        "perplexity", "status", "usage_image", "usage_curves", "residual"
    ]  # fmt: skip


def test_some_are_chosen_by_name(full):
    assert [entry.name for entry, _ in figures_of(full, ["gain", "status", "gain"])] == ["gain", "status"]
    with pytest.raises(SettingsError, match=r"expected some of perplexity, status, .*, found nothing, pie"):
        figures_of(full, ["nothing", "status", "pie"])


@pytest.mark.parametrize("entry", REPORT_FIGURES, ids=lambda entry: entry.name)
def test_page_and_paper_show_the_same_values(full, entry):
    """Every number of the Plotly figure is found again in what Matplotlib has drawn, and no other."""
    table = entry.table(full)
    if table is None:
        assert entry.name.startswith(("error_", "gain_", "clips_"))
        return
    figure = entry.draw(table, full)
    with drawing(PRESETS["single"]):
        axes = draw(figure, PRESETS["single"]).axes[0]
    shown = [trace for trace in traces_of(figure) if np.size(trace.get("x")) and trace["x"][0] is not None]
    bars = [trace for trace in shown if trace["type"] == "bar"]
    assert [len(group) for group in axes.containers if hasattr(group, "patches")] == [len(bar["x"]) for bar in bars]
    heights = [bar.get_height() for group in axes.containers if hasattr(group, "patches") for bar in group.patches]
    assert heights == pytest.approx([value for bar in bars for value in bar["y"]])
    points = [trace for trace in shown if trace["type"].startswith("scatter")]
    for number, which in enumerate("xy"):
        if not any(isinstance(value, str) for trace in points for value in trace[which]):
            values = [float(value) for trace in points for value in trace[which]]
            assert np.sort(drawn(axes, number)) == pytest.approx(np.sort(values))
    for trace in shown:
        if trace["type"] == "heatmap":
            cells = np.unique(np.concatenate([collection.get_array() for collection in axes.collections]))
            assert set(np.unique(np.asarray(trace["z"])[~np.isnan(trace["z"])])) <= set(cells)


def drawn(axes, number: int) -> np.ndarray:
    """The x (0) or y (1) of all lines, points and bands that were drawn, without the caps of intervals."""
    lines = [line for line in axes.lines if line.get_color() != "white"]  # those part the rows of an image
    found = [line.get_xydata()[:, number] for line in lines if line.get_marker() not in ("|", "_") or ticks(line)]
    offsets = [np.asarray(collection.get_offsets()) for collection in axes.collections]
    found += [points[:, number] for points in offsets if points.size > 2]
    found += [patch.get_xy()[:-1, number] for patch in axes.patches if type(patch).__name__ == "Polygon"]
    values = np.concatenate([*found, np.zeros(0)])
    return values[~np.isnan(values)]


def ticks(line) -> bool:
    """Whether marks that look like caps stand for values: the errors without quantization."""
    return line.get_color() == GREY


def test_the_tables_hold_the_numbers_of_the_report(full):
    tables = {entry.name: table for entry, table in figures_of(full)}
    assert tables["perplexity"]["perplexity"].tolist() == full.layers["perplexity"].tolist()
    assert tables["usage_image"]["count"].sum() == full.codes["count"].sum()
    assert tables["usage_curves_training"]["count"].sum() == full.codes["train_count"].sum()
    assert tables["status"]["unseen"].sum() == (full.codes["status"] == "unseen").sum()
    rows = full.overall[full.overall["metric"] == "mpjpe"]
    pd.testing.assert_series_equal(tables["error"]["value"], rows["value"])
    assert len(tables["map_usage"]) == len(full.codes)
