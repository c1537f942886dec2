import dataclasses

import numpy as np
import pandas as pd
import pytest
from reports import make_report

from dashboard.code_poses import Strip
from dashboard.export.build import Choice, export_files
from dashboard.export.codes import code_figures, read_code
from dashboard.export.sources import figures_of
from dashboard.paper.draw import draw
from dashboard.paper.style import PRESETS, drawing
from rvq_core.errors import SettingsError


@pytest.fixture
def used():
    """Two layers of eight codes; clip_0 has code 3 of layer 2 in half of its tokens, no other clip has it."""
    rng = np.random.default_rng(0)
    tokens = [np.stack([rng.integers(0, 8, 20), rng.integers(4, 8, 20)], axis=1) for _ in range(3)]
    tokens[0][::2, 1] = 3
    return make_report(tokens, 8)


def test_usage_over_clips_is_counted_in_the_tokens(used):
    ((entry, table),) = figures_of(used, [], code_figures(2, 3))
    assert entry.name == "code_2_3_clips"
    assert table[["tokens", "of", "share"]].to_numpy().tolist() == [[10, 20, 0.5]]
    (bars,) = entry.draw(table, used).data
    assert list(bars.x) == [0.5]


def test_a_code_that_no_clip_uses_has_no_usage(used):
    assert figures_of(used, [], code_figures(2, 0)) == []


def test_they_come_besides_the_chosen_figures(used):
    files = export_files(used, Choice(("csv",), ("perplexity",)), "x", further=code_figures(2, 3))
    assert {name for name in files if name.startswith("figures")} == {
        "figures/perplexity.csv",
        "figures/code_2_3_clips.csv",
    }


@pytest.mark.parametrize("text", ["3:0", "0:1", "1:8", "1", "1:x", "-1:2", ""])
def test_what_is_no_code_of_the_report_is_told(used, text):
    with pytest.raises(SettingsError, match="expected LAYER:CODE, layers 1 to 2"):
        read_code(text, used)
    assert read_code(" 2:7 ", used) == (2, 7)


def poses(x: float) -> pd.DataFrame:
    return pd.DataFrame({"pose": [0, 1], "joint": "head", "x0": 0.0, "y0": 1.0, "x1": [x, -x], "y1": 1.7})


def test_a_strip_is_drawn_of_its_table_on_the_page_and_on_paper(used):
    table = pd.concat([poses(0.2).assign(of="code 3 alone"), poses(0.1).assign(of="zeros")], ignore_index=True)
    strip = Strip(table.assign(label=["a", "b", "a", "b"]), "frames", "code 3 alone", "zeros")

    class Held:
        codebook = np.eye(8)

        def alone(self, code):
            return strip if code == 3 else None

        def in_context(self, code):
            return None if code == 3 else strip

        def line(self, code, to):
            return dataclasses.replace(strip, name="on the way") if code != to else None

    names = [entry.name for entry in code_figures(2, 3, Held())]
    assert names == ["code_2_3_clips", "code_2_3_alone", "code_2_3_line"]
    entry = code_figures(2, 3, Held())[1]
    figure = entry.draw(entry.table(used), used)
    behind, front = figure.data
    assert (behind.name, front.name) == ("zeros", "code 3 alone")
    assert list(figure.layout.xaxis.ticktext) == ["a", "b"]
    with drawing(PRESETS["single"]):
        (axes,) = draw(figure, PRESETS["single"]).axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "-"]  # bones, not curves to be told apart by dashes
    for line, trace in zip(axes.lines, figure.data, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.array(trace.x, dtype=float))
    assert axes.get_aspect() == 1
