import io
import itertools
import re
import sys
import zlib

import numpy as np
import plotly.graph_objects as go
import pytest
from fontTools.ttLib import TTFont
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from PIL import Image

from dashboard.paper import PRESETS, figure_files
from dashboard.paper.draw import draw
from dashboard.paper.fonts import SETTING, embedded_without_setting
from dashboard.paper.style import drawing
from dashboard.paper.traces import HATCHES


def lines(count: int = 3, points: int = 20) -> go.Figure:
    x = np.arange(1, points + 1)
    return go.Figure([go.Scatter(x=x, y=x * (i + 1.5), mode="lines", name=f"layer {i}") for i in range(count)])


@pytest.mark.parametrize(("preset", "width"), [("single", 85), ("double", 175), ("slide", 254)])
def test_files_have_the_width_of_the_preset(preset: str, width: float):
    files = figure_files(lines(), preset=preset)
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ", files["pdf"])
    assert float(box) == pytest.approx(width / 25.4 * 72, abs=0.01)
    assert re.search(rb'<svg[^>]* width="([\d.]+)pt"', files["svg"])[1].startswith(box[:6])
    picture = Image.open(io.BytesIO(files["png"]))
    assert picture.width == pytest.approx(width / 25.4 * 300, abs=1)
    assert picture.info["dpi"][0] == pytest.approx(300, abs=0.1)


def test_text_is_text_and_the_font_is_embedded():
    figure = lines().update_layout(xaxis_title="rank of the code", showlegend=True)
    files = figure_files(figure, ("pdf", "svg"), title="Sorted use of $codes_1$")
    svg = files["svg"].decode()
    assert "rank of the code" in svg
    assert "Sorted use of $codes_1$" in svg  # as it stands, not as a formula
    assert "<image" not in svg
    assert b"/FontFile2" in files["pdf"]
    assert b"/Type3" not in files["pdf"]


def test_no_date_and_the_same_bytes_twice():
    first, second = figure_files(lines()), figure_files(lines())
    assert first == second
    assert b"CreationDate" not in first["pdf"]
    assert b"<dc:date>" not in first["svg"]


def test_a_figure_of_points_with_a_colour_bar_holds_no_picture():
    rng = np.random.default_rng(0)
    marker = {"color": rng.random(3000), "showscale": True, "colorbar": {"title": {"text": "n"}}}
    files = figure_files(go.Figure(go.Scattergl(x=rng.random(3000), y=rng.random(3000), mode="markers", marker=marker)))
    assert b"<image" not in files["svg"]
    assert b"/Subtype /Image" not in files["pdf"]


def test_curves_differ_in_line_and_mark_too():
    with drawing(PRESETS["single"]):
        (axes,) = draw(lines(6), PRESETS["single"]).axes
    styles = {(line.get_linestyle(), line.get_marker(), str(line._unscaled_dash_pattern)) for line in axes.lines}
    assert len(styles) == 6


def test_stacked_bars_differ_in_hatch_and_stand_on_each_other():
    figure = go.Figure([go.Bar(x=[1, 2], y=[3, 4], name="a"), go.Bar(x=[1, 2], y=[5, 6], name="b")])
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure.update_layout(barmode="stack"), PRESETS["single"]).axes
    a, b = axes.containers
    assert [bar.get_hatch() for bar in (a[0], b[0])] == list(HATCHES[:2])
    assert [(bar.get_y(), bar.get_height()) for bar in b] == [(3, 5), (4, 6)]


def test_bars_of_two_traces_side_by_side_do_not_overlap():
    figure = go.Figure([go.Bar(x=[1, 2], y=[3, 4], name="a"), go.Bar(x=[1, 2], y=[5, 6], name="b")])
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    a, b = axes.containers
    assert a[0].get_x() + a[0].get_width() == pytest.approx(b[0].get_x())


def test_cells_keep_their_values_and_leave_the_unknown_empty():
    z = [[1.0, 1.0, np.nan], [2.0, 3.0, 3.0]]
    figure = go.Figure(go.Heatmap(z=z, x=[0, 1, 2], y=[1, 2], zmin=0, zmax=4, showscale=False))
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    (cells,) = axes.collections
    bounds = [path.get_extents().bounds for path in cells.get_paths()]
    drawn = list(zip(bounds, cells.get_array(), strict=True))
    assert drawn == [((-0.5, 0.5, 2, 1), 1.0), ((-0.5, 1.5, 2, 1), 2.0), ((0.5, 1.5, 2, 1), 3.0)]


def test_names_along_an_axis_keep_the_order_that_is_asked_for():
    figure = go.Figure(go.Scatter(x=[3, 1], y=["b", "a"], mode="markers"))
    figure.update_yaxes(categoryarray=["a", "b"], autorange="reversed")
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    assert axes.lines[0].get_ydata().tolist() == [1, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_few_names_below_each_other_make_a_low_figure_without_marks_on_its_edges():
    figure = go.Figure(go.Scatter(x=[3, 1], y=["b", "a"], mode="markers")).update_layout(height=180)
    with drawing(PRESETS["single"]):
        drawn = draw(figure, PRESETS["single"])
    assert drawn.get_figheight() * 25.4 == pytest.approx(62 * 0.55)
    assert drawn.axes[0].get_ylim() == pytest.approx((-0.5, 1.5))


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        (go.Pie(values=[1, 2]), "type pie"),
        ([go.Scatter(x=[1], y=[1]), go.Scatter(x=[1], y=[1], yaxis="y2")], "second pair of axes"),
        (go.Scatter(x=[1, 2], y=[1, 2], fill="tonexty"), "tonexty"),
    ],
    ids=["kind", "axes", "fill"],
)
def test_what_has_no_drawing_is_refused(trace, told: str):
    with pytest.raises(NotImplementedError, match=told):
        figure_files(go.Figure(trace), ("svg",))


def test_long_titles_of_axes_are_broken_not_cut():
    figure = lines().update_layout(yaxis_title="a title that is very much longer than the axis it stands beside (mm)")
    with drawing(PRESETS["single"]):
        drawn = draw(figure, PRESETS["single"])
        (axes,) = drawn.axes
        label = axes.yaxis.label
        assert "\n" in label.get_text()
        assert label.get_window_extent().height <= axes.bbox.height * 1.05
        assert label.get_window_extent().x0 >= 0


def test_the_embedded_font_draws_the_same_glyphs_without_tables_for_setting_text():
    """What Matplotlib embeds by itself holds the same outlines and widths."""
    own = figure_files(lines(), ("pdf",))["pdf"]
    buffer = io.BytesIO()
    with drawing(PRESETS["single"]):
        draw(lines(), PRESETS["single"]).savefig(buffer, format="pdf", dpi=300)
    ours, theirs = font_of(own), font_of(buffer.getvalue())
    assert set(theirs.keys()) - set(ours.keys()) <= set(SETTING)
    assert "GPOS" in theirs and "GPOS" not in ours
    assert ours.getGlyphOrder() == theirs.getGlyphOrder()
    for name in ours.getGlyphOrder():
        assert ours["glyf"][name] == theirs["glyf"][name]
        assert ours["hmtx"][name] == theirs["hmtx"][name]


def font_of(pdf: bytes) -> TTFont:
    streams = [zlib.decompress(part) for part in re.findall(rb"stream\n(x.*?)\nendstream", pdf, re.DOTALL)]
    (font,) = [stream for stream in streams if stream.startswith(b"\0\1\0\0")]
    return TTFont(io.BytesIO(font))


def test_text_of_a_pdf_can_be_searched():
    (content,) = [figure_files(lines(), ("pdf",))["pdf"]]
    streams = [zlib.decompress(part) for part in re.findall(rb"stream\n(x.*?)\nendstream", content, re.DOTALL)]
    assert any((b"Tf" in stream and b"Tj" in stream) or b"TJ" in stream for stream in streams)


def test_the_files_are_those_that_matplotlib_itself_saves():
    made = {
        "pdf": {"CreationDate": None, "Creator": "rvq-lens", "Producer": "Matplotlib"},
        "svg": {"Date": None, "Creator": "rvq-lens"},
        "png": {"Software": "rvq-lens"},
    }
    files = figure_files(lines(), ("svg", "png", "pdf"))
    assert list(files) == ["svg", "png", "pdf"]
    for form, content in files.items():
        buffer = io.BytesIO()
        with drawing(PRESETS["single"]), embedded_without_setting():
            draw(lines(), PRESETS["single"]).savefig(buffer, format=form, dpi=300, metadata=made[form])
        assert content == buffer.getvalue(), form


def test_matplotlib_waits_for_the_first_figure_and_torch_is_not_needed():
    from commands import python

    code = (
        "import sys, dashboard.export.build, dashboard.export.sources, dashboard.export.further, rvq_core.cli; "
        "sys.exit(bool({'matplotlib', 'torch'} & set(sys.modules)))"
    )
    assert python("-c", code).returncode == 0
    assert "matplotlib" in sys.modules


def test_ticks_that_are_thinned_out_do_not_widen_the_axis():
    figure = go.Figure(go.Scatter(x=[500, 16000], y=[1, 2], mode="lines")).update_layout(xaxis_title="iteration")
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    low, high = axes.get_xlim()
    assert -500 < low < 500
    assert 16000 < high < 17000
    shown = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    boxes = [label.get_window_extent() for tick, label in shown if label.get_text() and low <= tick <= high]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert boxes[-1].x1 <= axes.figure.bbox.x1


def test_many_names_below_each_other_are_made_smaller_and_stay():
    names = [f"left_clip_{i}" for i in range(30)]
    figure = go.Figure(go.Bar(x=np.arange(30), y=names, orientation="h")).update_layout(height=600)
    with drawing(PRESETS["slide"]):
        (axes,) = draw(figure, PRESETS["slide"]).axes
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == names
    assert labels[0].get_fontsize() < PRESETS["slide"].text * 0.9
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.y1 <= b.y0 for a, b in itertools.pairwise(boxes))


def test_far_too_many_names_below_each_other_are_thinned_out():
    image = go.Heatmap(z=np.eye(60), x=[f"{i}" for i in range(60)], y=[f"{i}" for i in range(60)])
    with drawing(PRESETS["slide"]):
        axes = draw(go.Figure(image), PRESETS["slide"]).axes[0]
    kept = [label for label in axes.get_yticklabels() if label.get_text()]
    assert 10 < len(kept) < 60
    assert min(label.get_fontsize() for label in kept) > 8


def test_a_figure_with_both_ranges_fixed_keeps_them_where_a_unit_is_as_long_on_both_axes():
    figure = go.Figure(go.Scatter(x=[0, 5], y=[0, 1], mode="lines"))
    figure.update_layout(height=280, xaxis_range=[-1, 6], yaxis={"range": [-0.5, 1.5], "scaleanchor": "x"})
    with drawing(PRESETS["single"]):
        drawn = draw(figure, PRESETS["single"])
    (axes,) = drawn.axes
    assert axes.get_xlim() == (-1, 6)
    assert axes.get_ylim() == (-0.5, 1.5)
    assert drawn.get_figheight() * 25.4 == pytest.approx(62 * 0.7)


def test_words_beside_each_other_are_made_smaller_and_stay():
    words = [f"frame {4 * i + 1}" for i in range(7)]
    figure = go.Figure(go.Scatter(x=list(range(7)), y=[0] * 7, mode="lines"))
    figure.update_xaxes(tickvals=list(range(7)), ticktext=words)
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == words
    assert 5 <= labels[0].get_fontsize() < PRESETS["single"].text * 0.9
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("lying", [True, False])
def test_the_grid_is_that_of_the_numbers(lying: bool):
    bars = {"y": ["a", "b"], "x": [1, 2], "orientation": "h"} if lying else {"x": ["a", "b"], "y": [1, 2]}
    with drawing(PRESETS["single"]):
        (axes,) = draw(go.Figure(go.Bar(**bars)), PRESETS["single"]).axes
    seen = [any(line.get_visible() for line in axis.get_gridlines()) for axis in (axes.xaxis, axes.yaxis)]
    assert seen == [lying, not lying]


def test_marks_of_many_points_shrink_alike_in_all_traces():
    """A map by layer: some layers have few points in sight, all marks are of one size."""
    many = go.Scatter(x=np.arange(600), y=np.arange(600), mode="markers")
    few = go.Scatter(x=np.arange(20), y=np.arange(20), mode="markers")
    with drawing(PRESETS["single"]):
        sizes = [line.get_markersize() for line in draw(go.Figure([many, few]), PRESETS["single"]).axes[0].lines]
        (alone,) = draw(go.Figure(few), PRESETS["single"]).axes[0].lines
    assert sizes[0] == sizes[1] < alone.get_markersize()


@pytest.mark.parametrize("preset", ["single", "slide"])
def test_titles_of_axes_keep_their_distance_from_the_edge_in_every_format(preset: str):
    """Long names beside them are as wide in a PDF as in the layout."""
    names = [f"humanoid3d_getup_facedown_{i}" for i in range(12)]
    figure = go.Figure(go.Bar(x=np.arange(12), y=names, orientation="h")).update_layout(yaxis_title="clip")
    with drawing(PRESETS[preset]):
        drawn = draw(figure, PRESETS[preset])
        places = []
        for dpi, canvas, write in ((72, FigureCanvasPdf, "print_pdf"), (300, FigureCanvasAgg, "print_png")):
            drawn.set_dpi(dpi)
            getattr(canvas(drawn), write)(io.BytesIO())
            places.append(drawn.axes[0].yaxis.label.get_window_extent().x0 / dpi * 72)
    pad = PRESETS[preset].text * 0.006 * 72
    assert places == pytest.approx([pad, pad], abs=0.5)


LONG = "Codes of layer 1 that say the same, of the first checkpoint and of the baseline, most of them first"


@pytest.mark.parametrize("kind", ["legend", "none", "parallel"])
def test_a_long_title_is_broken_and_stands_above_everything(kind: str):
    figure = lines().update_layout(showlegend=kind == "legend")
    if kind == "parallel":
        axes = [{"label": f"codes of each layer {i}", "values": [1.0, 2.0]} for i in range(4)]
        figure = go.Figure(go.Parcoords(dimensions=axes, line={"color": [1, 2], "colorscale": "Viridis"}))
    with drawing(PRESETS["single"]):
        drawn = draw(figure, PRESETS["single"], LONG)
        drawn.draw_without_rendering()
        title = drawn.legends[0].get_title() if drawn.legends else drawn._suptitle
        box, top = title.get_window_extent(), drawn.axes[0].get_window_extent().y1
        names = [text.get_window_extent().y1 for text in drawn.axes[0].texts]
    assert " ".join(title.get_text().split()) == LONG
    assert drawn.bbox.x0 <= box.x0 and box.x1 <= drawn.bbox.x1 and box.y1 <= drawn.bbox.y1
    assert box.y0 >= max([top, *names]) - 1


def test_a_legend_of_many_rows_makes_the_figure_higher_not_the_chart_lower():
    names = [f"rvq_nq6_dc512_nc512_noshare_qdp0.2_run{i}" for i in range(10)]
    figure = go.Figure([go.Scatter(x=[0, 1], y=[i, i + 1], mode="lines", name=name) for i, name in enumerate(names)])
    few = go.Figure(figure.data[:2])
    heights = []
    for shown in (few, figure):
        with drawing(PRESETS["single"]):
            drawn = draw(shown, PRESETS["single"])
            drawn.draw_without_rendering()
        heights.append((drawn.get_figheight(), drawn.axes[0].get_window_extent().height / drawn.dpi))
    assert heights[1][0] > heights[0][0]
    assert heights[1][1] > 0.7 * heights[0][1]


def test_long_names_of_axes_are_broken_at_underscores():
    title = "canonical-skeleton MPJPE less that of rvq_nq6_dc512_nc512_noshare_qdp0.2_run0"
    figure = lines().update_layout(yaxis_title=title)
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    written = axes.get_ylabel()
    assert written.replace("_\n", "_").replace("\n", " ") == title
    assert all(line.endswith(("_", " ")) or line in title for line in written.splitlines())
