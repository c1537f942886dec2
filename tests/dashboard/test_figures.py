import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from numpy.testing import assert_allclose

from dashboard.figures import theme
from dashboard.figures.clip_errors import MAX_CLIPS, clip_error_figure, clip_table
from dashboard.figures.codebook_map import COLOURS, MANY_POINTS, MAX_SVG_POINTS, codebook_map
from dashboard.figures.perplexity import perplexity_figure
from dashboard.figures.reconstruction import error_figure, gain_figure
from dashboard.figures.residual import residual_figure
from dashboard.figures.status import status_figure
from dashboard.figures.usage_curves import MAX_POINTS, usage_curve, usage_curves_figure
from dashboard.figures.usage_image import MAX_COLUMNS, usage_grid, usage_image, with_clickable_cells


def trace(figure: go.Figure, start: str) -> go.Scatter:
    return next(trace for trace in figure.data if (trace.name or "").startswith(start))


def rows_of(make_reconstruction, metric: str = "mpjpe", **options) -> pd.DataFrame:
    table = make_reconstruction(4, **options)
    return table[table["metric"] == metric]


def test_perplexity_bars_are_the_table_with_its_interval(report):
    layers = report.layers
    figure = perplexity_figure(layers)
    bars = trace(figure, "these clips")
    assert f"{layers['tokens'].iloc[0]:,} tokens" in bars.name
    assert_allclose(bars.y, layers["perplexity"])
    assert_allclose(bars.y + bars.error_y.array, layers["perplexity_high"])
    assert_allclose(bars.y - bars.error_y.arrayminus, layers["perplexity_low"])


def test_perplexity_shows_stored_corpora_and_limits(report):
    figure = perplexity_figure(report.layers)
    assert_allclose(trace(figure, "training").y, report.layers["train_perplexity"])
    assert trace(figure, "training").name == "training, 5,000 tokens"
    assert_allclose(trace(figure, "held out").y, report.layers["held_out_perplexity"])
    assert set(trace(figure, "K:").y) == {64}


def test_perplexity_leaves_out_what_is_not_known(make_report):
    figure = perplexity_figure(make_report(corpora=False, interval=False).layers)
    assert not any(trace.name.startswith(("training", "held out")) for trace in figure.data)
    assert figure.data[0].error_y.array is None


def test_ceiling_is_drawn_where_tokens_are_fewer_than_codes(report):
    layers = report.layers.assign(tokens=40, ceiling=40)
    assert set(trace(perplexity_figure(layers), "ceiling").y) == {40}


def test_every_code_counts_once_in_the_status_bars(report):
    figure = status_figure(report.codes)
    counts = {bar.name: np.array(bar.y) for bar in figure.data}
    assert (sum(counts.values()) == 64).all()
    expected = report.codes[report.codes["status"] == "unseen"].groupby("layer").size()
    assert counts["unseen"].tolist() == expected.tolist()


@pytest.mark.parametrize("order", ["usage", "code"])
def test_usage_cells_are_counts_relative_to_equal_use(make_codes, order):
    codes = make_codes(2, 64)
    grid = usage_grid(codes, order=order)
    first = codes[codes["layer"] == 1]["count"].to_numpy(float)
    expected = np.sort(first)[::-1] if order == "usage" else first
    assert_allclose(grid.count[0], expected)
    assert_allclose(grid.relative[0], expected / expected.mean())
    figure = usage_image(grid, order=order)
    seen, unseen = figure.data
    assert_allclose(10 ** np.array(seen.z[0])[expected > 0], (expected / expected.mean())[expected > 0])
    assert (~np.isnan(np.array(unseen.z, float)[0]) == (expected == 0)).all()


def test_large_codebooks_are_put_together_in_cells_that_keep_every_token(make_codes):
    codes = make_codes(8, 8192)
    grid = usage_grid(codes)
    assert grid.count.shape == (8, MAX_COLUMNS // 2)
    assert_allclose(np.nansum(grid.count, axis=1), codes.groupby("layer")["count"].sum())
    assert grid.unseen.sum() == (codes["count"] == 0).sum()
    assert (grid.last[:, -1] == 8191).all()
    assert len(json.dumps(usage_image(grid).to_plotly_json(), default=lambda value: np.asarray(value).tolist())) < 4e6


@pytest.mark.parametrize("order", ["usage", "code"])
@pytest.mark.parametrize("max_columns", [64, 20])
def test_each_cell_has_a_point_that_tells_its_code(make_codes, order, max_columns):
    codes = pd.concat([make_codes(1, 64), make_codes(1, 30).assign(layer=2)])
    grid = usage_grid(codes, order=order, max_columns=max_columns)
    figure = with_clickable_cells(usage_image(grid, order=order), grid, order=order)
    points = pd.DataFrame(
        [
            (place, layer, data, trace.hovertemplate)
            for trace in figure.data[2:]
            for place, layer, data in zip(trace.x, trace.y, trace.customdata.tolist(), strict=True)
        ]
    )
    assert len(points) == (~np.isnan(grid.count)).sum()
    size = {64: 1, 20: 7}[max_columns]  # of more codes than columns, half as many
    by_layer = {layer: group.set_index("code")["count"] for layer, group in codes.groupby("layer")}
    for place, layer, data, words in points.itertuples(index=False):
        counts = by_layer[layer]
        assert ("unseen</b>" in words) == (data[4] == 0)
        ranked = counts.sort_values(ascending=False, kind="stable").index if order == "usage" else counts.index
        assert data[:2] == [layer, ranked[int(place)]]
        assert data[4] == counts[ranked[int(place) : int(place) + size]].sum()
        assert place % size == 0


def test_layers_of_different_size_leave_cells_empty(make_codes):
    codes = pd.concat([make_codes(1, 10), make_codes(1, 4).assign(layer=2)])
    grid = usage_grid(codes)
    assert np.isnan(grid.count[1]).tolist() == [False] * 4 + [True] * 6
    usage_image(grid)


def test_a_layer_without_tokens_is_all_unseen(make_codes):
    codes = make_codes(1, 8).assign(count=0)
    assert np.isnan(np.array(usage_image(usage_grid(codes)).data[0].z, float)).all()


def test_curves_end_at_the_last_code_seen(report):
    figure = usage_curves_figure(report.codes)
    first = report.codes[report.codes["layer"] == 1]
    curve = trace(figure, "layer 1")
    seen = np.sort(first["count"][first["count"] > 0])[::-1]
    assert_allclose(curve.y, seen / seen.sum())
    assert curve.x[-1] == len(seen)
    assert_allclose(trace(figure, "equal use").y, 1 / 64)


def test_long_curves_are_thinned_but_keep_their_ends():
    counts = pd.Series(np.arange(8192, 0, -1))
    codes = pd.DataFrame({"layer": 1, "count": counts})
    drawn = trace(usage_curves_figure(codes), "layer 1")
    assert len(drawn.x) <= MAX_POINTS
    assert (drawn.x[0], drawn.x[-1]) == (1, 8192)
    assert_allclose(usage_curve(counts)["share"].sum(), 1)


def map_points(codes: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return codes.assign(x=rng.normal(size=len(codes)), y=rng.normal(size=len(codes)))


@pytest.mark.parametrize("colour", ["usage", "layer", "norm"])
def test_map_draws_every_code_once_and_marks_the_unseen(make_codes, colour):
    points = map_points(make_codes(3, 64))
    figure = codebook_map(points, colour=colour)
    drawn = np.concatenate(
        [np.array(trace.customdata)[:, :2].astype(int) for trace in figure.data if trace.customdata is not None]
    )
    assert sorted(map(tuple, drawn)) == sorted(zip(points["layer"], points["code"], strict=True))
    crosses = [trace for trace in figure.data if trace.marker.symbol == "x-thin-open" and trace.hovertemplate]
    assert sum(len(trace.x) for trace in crosses) == (points["count"] == 0).sum()
    assert all(trace.type == "scatter" for trace in figure.data)


def test_map_colours_by_usage_on_a_logarithmic_scale(make_codes):
    points = map_points(make_codes(1, 64))
    seen = points[points["count"] > 0]
    assert_allclose(trace(codebook_map(points), "seen").marker.color, np.log10(seen["share"]))
    assert_allclose(trace(codebook_map(points, colour="norm"), "seen").marker.color, seen["norm"])


def test_large_maps_use_webgl(make_codes):
    points = map_points(make_codes(4, MAX_SVG_POINTS // 2))
    assert {trace.type for trace in codebook_map(points, colour="layer").data} == {"scattergl"}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_map_of_very_many_codes_is_light_and_still_tells_which_code_a_point_is(make_codes, colour):
    points = map_points(make_codes(8, MANY_POINTS // 4)).assign(ema_count=np.arange(MANY_POINTS * 2) % 97 + 1.0)
    figure = codebook_map(points, colour=colour, second=points, second_name="other")
    assert len(figure.to_json()) < 80 * len(points)  # bytes; both checkpoints
    found = {
        tuple(map(int, row[:3])): at
        for drawn in figure.data
        if drawn.customdata is not None
        for row, at in zip(drawn.customdata, zip(drawn.x, drawn.y, strict=True), strict=True)
    }
    assert len(found) == len(points)
    for row in points.sample(50, random_state=0).itertuples():
        assert_allclose(found[row.layer, row.code, row.count], (row.x, row.y), rtol=1e-6)


def test_codes_of_a_second_checkpoint_are_outlined_below_and_cannot_be_selected(make_codes):
    points, second = map_points(make_codes(2, 30)), map_points(make_codes(3, 20))
    drawn = codebook_map(points, second=second, second_name="<b>").data[0]
    assert drawn.name == "&lt;b&gt; (60)" and drawn.marker.symbol == "diamond-open"
    assert_allclose(drawn.x, second["x"])
    assert drawn.customdata is None and drawn.text[25].startswith("<b>layer 2, code 5</b> of &lt;b&gt;")
    shades = codebook_map(points, colour="layer", second=second).data[0].marker.color
    assert list(shades) == [theme.layer_colour(layer) for layer in second["layer"]]


def test_map_without_usage_or_without_any_seen_code(make_codes):
    points = map_points(make_codes(1, 8))
    unknown = points.assign(count=np.nan, share=np.nan)
    assert len(trace(codebook_map(unknown, colour="norm"), "seen").x) == 8
    codebook_map(points.assign(count=0, share=0.0))


def test_error_curve_is_the_table_with_band_and_reference(make_reconstruction):
    rows = rows_of(make_reconstruction)
    figure = error_figure(rows)
    assert_allclose(trace(figure, "quantised").y, rows["value"])
    band = np.array(trace(figure, "95 %").y)
    assert_allclose(band, [*rows["high"], *rows["low"][::-1]])
    assert set(trace(figure, "without").y) == {8.0}
    assert figure.layout.yaxis.title.text == "MPJPE, body (mm)"
    assert error_figure(rows, True).layout.yaxis.title.text == "canonical-skeleton MPJPE, body (mm)"
    assert not any(trace.name.startswith("worse") for trace in figure.data)


def test_steps_that_make_it_worse_are_flagged(make_reconstruction):
    rows = rows_of(make_reconstruction, worse_at=3)
    flagged = trace(error_figure(rows), "worse")
    assert list(flagged.x) == [3]
    bars = gain_figure(rows)
    assert list(trace(bars, "raises").x) == [3]
    assert_allclose(trace(bars, "raises").y, -5.0)


def test_gain_bars_are_the_table(make_reconstruction):
    rows = rows_of(make_reconstruction)
    assert_allclose(gain_figure(rows).data[0].y, rows["gain"].dropna())


def test_one_clip_has_no_band(make_reconstruction):
    figure = error_figure(rows_of(make_reconstruction, interval=False))
    assert not any(trace.name.startswith("95 %") for trace in figure.data)


def test_residual_begins_with_everything_and_flags_rises(report):
    assert_allclose(residual_figure(report.layers).data[0].y, [1.0, 0.5, 0.25, 0.125])
    rising = report.layers.assign(residual_energy=[0.5, 0.6, 0.1])
    assert list(trace(residual_figure(rising), "more").x) == [2]


def test_clips_are_told_apart_by_training_and_sorted_by_error(report):
    table = clip_table(report.clips, report.clip_errors, "mpjpe")
    assert table["error"].is_monotonic_decreasing
    assert_allclose(table["unquantised"], [10, 9, 8, 7, 6, 5])
    figure = clip_error_figure(table, "mpjpe", "mm")
    clips = report.clips.set_index("clip")
    for name, value in (("held out", True), ("trained on", False)):
        drawn = trace(figure, name)
        assert (clips.loc[list(drawn.y), "held_out"] == value).all()
        assert_allclose(drawn.x, clips.loc[list(drawn.y), "mpjpe"])
    assert len(trace(figure, "unknown").y) == 2
    assert len({(mark.marker.color, mark.marker.symbol) for mark in figure.data}) == len(figure.data) == 4


def test_of_many_clips_the_worst_are_drawn(report):
    table = clip_table(report.clips, report.clip_errors, "mpjpe")
    many = pd.concat([table.assign(clip=table["clip"] + f"_{i}", error=float(i)) for i in range(20)])
    many = many.sort_values("error", ascending=False)
    figure = clip_error_figure(many, "mpjpe", "mm")
    assert len(figure.layout.yaxis.categoryarray) == MAX_CLIPS
    assert min(value for trace in figure.data[1:] for value in trace.x) == 10


def test_figures_take_the_colours_of_the_page(report, make_reconstruction):
    figures = [perplexity_figure(report.layers), status_figure(report.codes), residual_figure(report.layers),
               usage_image(usage_grid(report.codes)), usage_curves_figure(report.codes),
               error_figure(rows_of(make_reconstruction)), codebook_map(map_points(report.codes))]  # fmt: skip
    for figure in figures:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.font.color is None
        assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text


def test_layer_styles_repeat_only_after_all_colours():
    styles = {(theme.layer_colour(layer), theme.layer_dash(layer)) for layer in range(1, 33)}
    assert len(styles) == 32


def test_every_code_has_the_colour_of_its_status(make_codes):
    points = map_points(make_codes(2, 30))
    traces = codebook_map(points, colour="status").data
    for trace in traces:
        status = trace.name.split(" ")[0]
        assert trace.marker.color == theme.STATUS_COLOURS[status]
        assert len(trace.x) == (points["status"] == status).sum()
    assert sum(len(trace.x) for trace in traces) == len(points)


def test_ema_counts_are_logarithmic_and_zero_looks_like_the_smallest(make_codes):
    points = map_points(make_codes(2, 30)).assign(ema_count=lambda table: np.arange(len(table)) % 3 * 5.0)
    seen = next(trace for trace in codebook_map(points, colour="EMA count").data if trace.name.startswith("seen"))
    assert set(np.round(seen.marker.color, 9)) == set(np.round(np.log10([5.0, 10.0]), 9))
    assert "EMA count %{customdata[7]" in seen.hovertemplate
    assert all(isinstance(text, str) for text in seen.marker.colorbar.ticktext)


def test_the_density_lies_under_the_codes_where_the_vectors_are(make_codes):
    points = map_points(make_codes(2, 30))
    centre = points[["x", "y"]].mean().to_numpy()
    vectors = centre + 0.01 * np.random.default_rng(0).normal(size=(500, 2))
    figure = codebook_map(points, behind=vectors)
    density = figure.data[0]
    assert density.type == "contour" and density.name.startswith("what the encoder gives")
    row, column = np.unravel_index(np.argmax(density.z), density.z.shape)
    assert abs(density.x[column] - centre[0]) < 0.2 and abs(density.y[row] - centre[1]) < 0.2
    assert density.z.min() == 0 and 4 < density.z.max() <= 5
    assert points["x"].between(density.x.min(), density.x.max()).all()
    assert codebook_map(points, behind=vectors + 1e6).data[0].z.max() == 0  # all of it out of sight


def test_the_density_shows_all_vectors_but_no_more_than_half_beyond_the_codes(make_codes):
    points = map_points(make_codes(2, 30))
    points = points.assign(x=np.linspace(0, 1, len(points)), y=np.linspace(0, 1, len(points)))
    rng = np.random.default_rng(0)
    near = np.column_stack([rng.uniform(-0.3, 1, 500), rng.uniform(0.2, 0.8, 500)])
    density = codebook_map(points, behind=near).data[0]
    assert density.x.min() < near[:, 0].min() - 0.03
    assert density.z[:, 0].max() < 1, "an area is cut at the edge"
    assert density.y.min() == pytest.approx(-0.15, abs=0.02)
    far = codebook_map(points, behind=np.vstack([near, [[-90.0, 0.5]]])).data[0]
    assert far.x.min() == pytest.approx(-0.5, abs=0.02)


def test_the_areas_of_the_density_hold_what_the_legend_says(make_codes):
    """A crowd in one place and a tenth as much widely strewn: both are seen."""
    points = map_points(make_codes(2, 30))
    rng = np.random.default_rng(0)
    span = (points[["x", "y"]].max() - points[["x", "y"]].min()).to_numpy()
    middle = points[["x", "y"]].mean().to_numpy()
    crowd = middle + 0.04 * span * rng.normal(size=(8000, 2))
    strewn = middle + span * rng.uniform(-0.4, 0.4, size=(2000, 2))
    density = codebook_map(points, behind=np.concatenate([crowd, strewn])).data[0]
    for level, share in ((1, 0.99), (2, 0.9), (3, 0.75), (4, 0.5)):
        columns, rows = (np.abs(axis[:, None] - np.concatenate([crowd, strewn])[:, i]).argmin(axis=0)
                         for i, axis in enumerate((density.x, density.y)))  # fmt: skip
        assert (density.z[rows, columns] >= level).mean() == pytest.approx(share, abs=0.06)
    assert (density.z >= 3).mean() < 0.05  # three quarters are the crowd
    assert (density.z >= 1).mean() > 0.3  # and 99 % most of the rest


def test_a_logarithmic_axis_of_a_narrow_range_has_ticks_within_it():
    for low, high, told in ((0.004716, 0.005228, ["0.0048", "0.005", "0.0052"]), (90, 101, ["90", "95", "100"])):
        assert theme.number_ticks(low, high)["ticktext"] == told
    assert theme.number_ticks(1, 9)["ticktext"][:4] == ["1", "2", "5", "10"]
    assert 2.0 in theme.number_ticks(2, 2)["tickvals"]
