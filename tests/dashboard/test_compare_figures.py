import numpy as np
import pandas as pd
import pytest

from dashboard.figures import compare as figures


def curves() -> pd.DataFrame:
    rows = [
        (name, "mpjpe", "mm", n, 60.0 * n, 50.0 * n, 100 / (n + k), 90 / (n + k), 120 / (n + k))
        for k, name in enumerate(("a", "b"), start=1)
        for n in range(4)
    ]
    names = ["checkpoint", "metric", "unit", "n_active", "nominal_bps", "effective_bps", "value", "low", "high"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize("against", figures.AXES)
def test_errors_stand_against_what_is_asked_for(against):
    table = curves()
    figure = figures.overlaid_errors(table, against)
    assert [trace.name for trace in figure.data] == ["a", "b"]
    for trace, (_, rows) in zip(figure.data, table.groupby("checkpoint"), strict=True):
        np.testing.assert_allclose(trace.x, rows[against])
        np.testing.assert_allclose(trace.y, rows["value"])
        np.testing.assert_allclose(trace.y + trace.error_y.array, rows["high"])
        np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, rows["low"])
    assert figure.layout.xaxis.title.text == figures.AXES[against]
    assert figure.layout.yaxis.title.text == "MPJPE, body (mm)"


def test_without_intervals_there_are_no_bars():
    figure = figures.overlaid_errors(curves().assign(low=np.nan, high=np.nan), "n_active")
    assert all(trace.error_y.array is None for trace in figure.data)


def test_differences_stand_around_0_with_their_intervals():
    rows = pd.DataFrame(
        {"checkpoint": ["b", "c"], "metric": "mpjpe", "unit": "mm", "value": [3.0, 9.0], "baseline": 5.0,
         "delta": [-2.0, 4.0], "low": [-3.0, 1.0], "high": [-1.0, 6.0], "words": ["better", "worse"]}
    )  # fmt: skip
    (trace,) = figures.differences(rows, "a").data
    assert dict(zip(trace.y, trace.x, strict=True)) == {"b": -2.0, "c": 4.0}
    np.testing.assert_allclose(sorted(trace.x + trace.error_x.array), [-1, 6])
    assert figures.differences(rows, "a").layout.xaxis.title.text == "MPJPE, body (mm) less that of a"


def test_matched_codes_stand_on_the_diagonal():
    cells = pd.DataFrame(
        {"code": [0, 0, 1, 2], "baseline_code": [5, 6, 6, 4], "tokens": [6, 2, 5, 9], "share": [0.75, 0.25, 1, 1],
         "matched": [True, False, True, True]}
    )  # fmt: skip
    (trace,) = figures.matching_image(cells, "b", "a").data
    assert list(trace.y) == ["2", "0", "1"]
    assert list(trace.x) == ["4", "5", "6"]
    np.testing.assert_allclose(trace.z, [[1, 0, 0], [0, 0.75, 0.25], [0, 0, 1]])
    np.testing.assert_array_equal(trace.customdata, [[9, 0, 0], [0, 6, 2], [0, 0, 5]])


def test_agreement_has_a_cell_for_every_pair_of_layers():
    matching = pd.DataFrame({"layer": [1, 1, 2, 2], "baseline_layer": [1, 2, 1, 2], "ami": [0.9, 0.1, 0.2, 0.8]})
    (trace,) = figures.agreement_image(matching, "b", "a").data
    np.testing.assert_allclose(trace.z, [[0.9, 0.1], [0.2, 0.8]])


def test_words_are_categories_on_parallel_axes():
    table = pd.DataFrame({"mirror": ["True", "False", "True"], "error": [3.0, 1.0, 2.0]})
    (trace,) = figures.parallel_coordinates(table).data
    first, last = trace.dimensions
    assert (list(first.ticktext), list(first["values"])) == (["False", "True"], [1, 0, 1])
    assert list(last["values"]) == list(trace.line.color) == [3, 1, 2]


@pytest.mark.parametrize(("count", "first"), [(12, "checkpoint"), (13, "error")])
def test_lines_begin_at_names_as_long_as_these_can_be_read(count: int, first: str):
    table = pd.DataFrame({"checkpoint": [f"run {n:02d}" for n in range(count)], "error": np.arange(count) / 2})
    (trace,) = figures.parallel_coordinates(table).data
    assert trace.dimensions[0].label == first
    assert list(trace.dimensions[-1]["values"]) == list(np.arange(count) / 2)


def test_perplexity_is_a_line_a_checkpoint():
    usage = pd.DataFrame(
        {"checkpoint": ["a", "a", "b"], "layer": [1, 2, 1], "perplexity": [4.0, 6.0, 5.0], "low": [3.0, 5.0, 4.0],
         "high": [5.0, 8.0, 6.0], "codes": 16, "tokens": 90}
    )  # fmt: skip
    one, other = figures.overlaid_perplexity(usage).data
    assert (list(one.y), list(other.y)) == ([4, 6], [5])
    np.testing.assert_allclose(one.error_y.array, [1, 2])
