import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.explained import WHAT
from dashboard.export.registry import REPORT_FIGURES, report_figures
from dashboard.export.sources import figures_of
from dashboard.figures.theme import GREY
from dashboard.paper.draw import draw, traces_of
from dashboard.paper.style import PRESETS, drawing
from rvq_core.errors import SettingsError
from rvq_core.stats.projection import pca
from rvq_core.training.curves import curves

ROOT = Path(__file__).resolve().parents[3]


HISTORY = [
    {
        "iteration": step, "reconstruction": 1.0 / step, "commit": 2.0 * step, "held_out_mpjpe": 90.0 - step,
        "perplexity": [5.0 + step, 4.0], "unseen": [3, 7],
    }
    for step in (10, 20, 30)
]  # fmt: skip


@pytest.fixture
def full(make_report):
    """A report that can show every figure."""
    report = make_report()
    rng = np.random.default_rng(1)
    report.projections["pca"] = pca([rng.normal(size=(64, 5)) for _ in range(3)]).table
    report.codes["ema_count"] = report.codes["count"] + 0.5
    for table in ("leave_one_out", "rate_distortion", "headroom"):
        report.tables[table] = further_rows(table, rng)
    report.tables["discovery"] = pd.DataFrame(
        {
            "layer": [1, 1, 1, 2, 2, 2], "tokens": [10, 20, 40] * 2, "codes_expected": [5.0, 8.0, 9.0, 4.0, 6.0, 7.0],
            "low": [4.0, 7.0, 8.0, 3.0, 5.0, 6.0], "high": [6.0, 9.0, 10.0, 5.0, 7.0, 8.0],
            "extrapolated": [False, False, True] * 2,
        }
    )  # fmt: skip
    pairs = {"layer": [1, 1, 2], "other_layer": [2, 3, 3], "ami": [0.1, 0.4, 0.2], "mi_corrected_bits": [1.0, 2.0, 3.0]}
    report.tables["layer_pairs"] = pd.DataFrame(pairs)
    whole = report.reconstruction.assign(joint=None, group=None)
    deepest = whole[(whole["metric"] == "mpjpe") & (whole["n_active"] == 3)]
    joints = [deepest.assign(joint=name, value=value) for name, value in (("left_wrist", 30.0), ("neck", 10.0))]
    groups = [
        deepest.assign(group=name, value=value, reference=5.0) for name, value in (("walk", 20.0), ("jump", 40.0))
    ]
    report.tables["group_usage"] = pd.DataFrame(
        {
            "group": ["walk", "jump"] * 2, "layer": [1, 1, 2, 2], "clips": 3, "tokens": 90, "codes": 8,
            "used": [5, 6, 7, 8],
            "only_here": 1, "perplexity": [3.0, 4.5, 5.0, 6.0], "perplexity_low": 2.5, "perplexity_high": 6.5,
            "perplexity_corrected": [3.25, 4.75, 5.5, 6.25], "distance": 0.4, "distance_chance": 0.1,
        }
    )  # fmt: skip
    report.tables["training_curves"] = curves({"history": HISTORY})
    return dataclasses.replace(report, reconstruction=pd.concat([whole, *joints, *groups], ignore_index=True))


def further_rows(table: str, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of one of a report's further tables, for two metrics."""
    rows = []
    for metric, unit in (("mpjpe", "mm"), ("feature_mse", "1")):
        for i in (1, 2, 3):
            value, width = rng.random(2) + 0.1
            common = {"metric": metric, "unit": unit, "value": value}
            if table == "leave_one_out":
                rows.append(common | {"layer": i, "rise": value, "rise_low": value - width, "rise_high": value + width})
            elif table == "headroom":
                rows.append(
                    common | {"beam": 4 * i, "greedy": value, "gain_share": width, "gain_low": 0.0, "gain_high": 1.0}
                )
            else:
                bits = {f"{way}_bps": 10.0 * i / j for j, way in enumerate(("nominal", "effective", "conditional"), 1)}
                rows.append(common | {"n_active": i} | bits)
    return pd.DataFrame(rows)


def test_names_are_unique_and_explained():
    names = [entry.name for entry in REPORT_FIGURES]
    assert len(set(names)) == len(names)
    assert len({entry.title for entry in REPORT_FIGURES}) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)
    assert {entry.what for entry in REPORT_FIGURES} <= set(WHAT)


def test_every_figure_of_the_pages_can_be_exported():
    pages = "".join(path.read_text() for path in (ROOT / "dashboard/app_pages").glob("*.py"))
    names = r"\w+_figure|(?:usage|agreement|matching)_image|codebook_map|overlaid_\w+|differences|\w+_over_training"
    drawn = set(re.findall(rf"\b({names})\(", pages))
    listed = "".join((ROOT / f"dashboard/export/{name}.py").read_text() for name in ("registry", "comparisons"))
    # Usage by status is drawn by status_bars there; a code's own figure is of one that is chosen on its page.
    assert {name for name in drawn if name not in listed} <= {"status_figure", "code_usage_figure"}


def test_a_report_shows_what_it_has(full):
    shown = [entry.name for entry, _ in figures_of(full)]
    assert [entry.name for entry, _ in figures_of(full) if not entry.detail] == [
        "perplexity", "status", "usage_image", "usage_curves", "group_usage", "map_usage", "map_layer", "map_norm",
        "error", "gain", "leave_one_out", "bits", "joints", "groups", "clips", "discovery", "residual", "headroom",
        "redundancy", "training_error", "training_losses", "training_perplexity", "training_unseen",
    ]  # fmt: skip
    assert {"error_feature_mse", "gain_velocity_error", "clips_rotation_error"} <= set(shown)
    assert {"usage_image_training", "usage_curves_held_out", "map_ema_count", "bits_feature_mse"} <= set(shown)
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


def test_each_layer_has_its_groups(full):
    tables = {entry.name: table for entry, table in figures_of(full)}
    assert [name for name in tables if name.startswith("group_usage")] == ["group_usage", "group_usage_2"]
    for layer, name in ((1, "group_usage"), (2, "group_usage_2")):
        assert set(tables[name]["layer"]) == {layer}
    ((entry, table),) = figures_of(full, ["group_usage_2"])
    whole = next(trace for trace in entry.draw(table, full).data if trace.name == "all clips")
    assert whole.x[0] == full.layers["perplexity"].iloc[1]
    assert entry.detail
    assert len({entry.title for entry in report_figures(full)}) == len(report_figures(full))


@pytest.mark.parametrize("entry", REPORT_FIGURES, ids=lambda entry: entry.name)
def test_page_and_paper_show_the_same_values(full, entry):
    """Every number of the Plotly figure is found again in what Matplotlib has drawn, and no other."""
    table = entry.table(full)
    if table is None:
        assert entry.detail  # the same for a metric that this report has not, or has as its main one
        return
    figure = entry.draw(table, full)
    with drawing(PRESETS["single"]):
        first, *more = draw(figure, PRESETS["single"]).axes
    panels = [first, *(axes for axes in more if axes.get_label() != "<colorbar>")]
    shown = [trace for trace in traces_of(figure) if np.size(trace.get("x")) and trace["x"][0] is not None]
    bars = [trace for trace in shown if trace["type"] == "bar"]
    assert [len(group) for group in first.containers if hasattr(group, "patches")] == [len(bar["x"]) for bar in bars]
    lying = [bar.get("orientation") == "h" for bar in bars]
    lengths = [
        (patch.get_width() if lies else patch.get_height())
        for lies, group in zip(lying, (each for each in first.containers if hasattr(each, "patches")), strict=True)
        for patch in group.patches
    ]
    assert lengths == pytest.approx(
        [value for lies, bar in zip(lying, bars, strict=True) for value in bar["x" if lies else "y"]]
    )
    points = [trace for trace in shown if trace["type"].startswith("scatter")]
    for number, which in enumerate("xy"):
        if not any(isinstance(value, str) for trace in points for value in trace[which]):
            values = [float(value) for trace in points for value in trace[which]]
            found = np.concatenate([drawn(axes, number) for axes in panels])
            assert np.sort(found) == pytest.approx(np.sort(values))
    for trace in shown:
        if trace["type"] == "heatmap":
            cells = np.unique(np.concatenate([collection.get_array() for collection in first.collections]))
            assert set(np.unique(np.asarray(trace["z"])[~np.isnan(trace["z"])])) <= set(cells)


def drawn(axes, number: int) -> np.ndarray:
    """The x (0) or y (1) of all lines, points and bands that were drawn, without the caps of intervals."""
    # Others reach across the figure: limits, and what parts the rows of an image.
    lines = [line for line in axes.lines if line.get_transform() == axes.transData]
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
