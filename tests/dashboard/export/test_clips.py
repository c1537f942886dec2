import dataclasses

import numpy as np
import pytest
from reports import make_report
from turning import checkpoint, turning

from dashboard.export.build import Choice, export_files
from dashboard.export.clips import clip_figures, clip_number
from dashboard.export.sources import figures_of
from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from rvq_core import analyze
from rvq_core.errors import SettingsError
from rvq_core.playback import motion_of
from rvq_core.tokens import Pipeline


@pytest.fixture(scope="module")
def measured():
    """A report of one clip, and that clip played."""
    ckpt, clip = checkpoint(330), turning(24)
    return analyze(ckpt, [clip], device="cpu"), motion_of(Pipeline(ckpt, "cpu"), clip)


def test_the_cells_are_the_tokens_of_the_report(measured):
    report, playback = measured
    ((entry, table),) = figures_of(report, [], clip_figures(0, report))
    assert entry.name == "clip_1_walk_tokens"
    np.testing.assert_array_equal(table.pivot(index="token", columns="layer", values="code"), report.tokens[0])
    share = report.codes.set_index(["layer", "code"])["share"]
    np.testing.assert_array_equal(table["share"], share.loc[list(zip(table["layer"], table["code"], strict=True))])
    (cells,) = entry.draw(table, report).data
    np.testing.assert_allclose(10 ** np.array(cells.z).T, table.pivot(index="token", columns="layer", values="share"))
    width = playback.stride / playback.clip.fps
    np.testing.assert_allclose(cells.x, width * (np.arange(len(report.tokens[0])) + 0.5))


def test_the_error_over_time_is_on_the_mean_that_of_the_report(measured):
    report, playback = measured
    entry, table = figures_of(report, [], clip_figures(0, report, playback))[1]
    means = table.groupby("n_active")["value"].mean()
    overall = report.overall[report.overall["metric"] == "mpjpe"].set_index("n_active")
    assert means.index.tolist() == [-1, 1, 2, 3]
    np.testing.assert_allclose(means[[1, 2, 3]], overall["value"][[1, 2, 3]], rtol=1e-4)
    assert means[-1] == pytest.approx(overall["reference"].iloc[0], rel=1e-4)
    figure = entry.draw(table, report)
    assert [trace.name for trace in figure.data] == [
        "1 quantizer", "2 quantizers", "all 3 quantizers", "without quantization"
    ]  # fmt: skip
    for trace, depth in zip(figure.data, (1, 2, 3, -1), strict=True):
        np.testing.assert_array_equal(trace.y, playback.frame_errors[playback.depths.index(depth)])
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    np.testing.assert_allclose(axes.get_xlim(), (0, playback.clip.frames / playback.clip.fps))


def test_both_are_written_besides_the_chosen_figures(measured):
    report, playback = measured
    choice = Choice(("svg", "csv"), ("perplexity",))
    files = export_files(report, choice, "x", further=clip_figures(0, report, playback))
    assert {"figures/clip_1_walk_tokens.csv", "figures/clip_1_walk_error.svg"} < set(files)
    assert b"<image" not in files["figures/clip_1_walk_tokens.svg"]


def test_another_motion_of_the_same_name_is_refused(measured):
    report, playback = measured
    other = dataclasses.replace(playback, tokens=(playback.tokens + 1) % 16)
    with pytest.raises(SettingsError, match="the motion of walk that the report measured"):
        clip_figures(0, report, other)


def test_names_of_clips_become_names_of_files_that_differ():
    report = make_report([np.zeros((4, 1), np.int64)] * 2, 4)
    report = dataclasses.replace(report, clips=report.clips.assign(clip=["a/b c", "a_b.c"]))
    names = [clip_figures(number, report)[0].name for number in (0, 1)]
    assert names == ["clip_1_a_b_c_tokens", "clip_2_a_b_c_tokens"]
    assert clip_number("a_b.c", report) == 1
    with pytest.raises(SettingsError, match=r"a clip of the report \(a/b c, a_b\.c\), found nobody"):
        clip_number("nobody", report)
