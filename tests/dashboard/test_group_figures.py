"""Figures of groups, by the tables behind them."""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from dashboard.figures.groups import group_error_figure, group_usage_figure


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def test_usage_by_group_stands_with_its_interval_and_what_all_clips_have():
    rows = pd.DataFrame(
        {"group": ["1", "02"], "layer": 1, "clips": [9, 2], "tokens": [900, 40], "used": [50, 20], "only_here": [30, 1],
         "perplexity": [40.0, 15.0], "perplexity_low": [35.0, np.nan], "perplexity_high": [46.0, np.nan],
         "perplexity_corrected": [44.0, 30.0], "distance": [0.3, 0.6], "distance_chance": [0.1, 0.5]}
    )  # fmt: skip
    figure = group_usage_figure(rows, 42.0)
    marks = trace(figure, "clips of the group")
    assert list(marks.y) == ["02", "1"] == list(figure.layout.yaxis.categoryarray)
    assert figure.layout.yaxis.type == "category"  # else these groups are numbers
    assert_allclose(marks.x, [15, 40])
    assert_allclose(marks.error_x.array, [np.nan, 6])
    assert_allclose(marks.error_x.arrayminus, [np.nan, 5])
    assert [told[-1] for told in marks.customdata] == ["too few clips", "35 to 46"]
    assert_allclose(trace(figure, "corrected for few tokens").x, [30, 44])
    assert set(trace(figure, "all clips").x) == {42.0}


def test_error_by_group_tells_metric_unit_and_what_the_codes_cost():
    rows = pd.DataFrame(
        {"group": ["walk", "run"], "value": [20.0, 50.0], "low": [18.0, 40.0], "high": [25.0, 70.0],
         "reference": [12.0, 30.0], "metric": "mpjpe", "unit": "mm"}
    )  # fmt: skip
    figure = group_error_figure(rows, 33.0, canonical=True)
    assert list(trace(figure, "clips of the group").y) == ["walk", "run"]
    assert_allclose(trace(figure, "clips of the group").error_x.array, [5, 20])
    assert_allclose(trace(figure, "without quantization").x, [12, 30])
    assert (
        figure.layout.xaxis.title.text.startswith("canonical-skeleton MPJPE") and "mm" in figure.layout.xaxis.title.text
    )


def test_groups_of_one_clip_have_neither_interval_nor_an_axis_of_their_own():
    rows = pd.DataFrame(
        {"group": ["walk"], "value": [0.2], "low": [np.nan], "high": [np.nan], "reference": [np.nan],
         "metric": "feature_mse", "unit": "1"}
    )  # fmt: skip
    figure = group_error_figure(rows, 0.2)
    assert trace(figure, "clips of the group").error_x.array is None
    assert [trace.name for trace in figure.data] == ["clips of the group", "all clips"]
