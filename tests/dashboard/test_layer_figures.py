"""Figures and sentences about what layers are worth, by the tables behind them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from dashboard import layer_words
from dashboard.figures.headroom import headroom_figure
from dashboard.figures.joints import joint_figure
from dashboard.figures.rate_distortion import rate_distortion_figure
from dashboard.figures.reconstruction import gain_figure, leave_one_out_figure
from dashboard.figures.redundancy import redundancy_figure
from dashboard.figures.residual import residual_figure


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name.startswith(name))


@pytest.fixture
def left_out() -> pd.DataFrame:
    rise = np.array([40.0, 5.0, -1.0])
    return pd.DataFrame(
        {"layer": [1, 2, 3], "metric": "mpjpe", "unit": "mm", "rise": rise, "rise_low": rise - 2, "rise_high": rise + 3,
         "full": 20.0, "clips": 7, "frames": 1234}
    )  # fmt: skip


@pytest.fixture
def headroom() -> pd.DataFrame:
    rows = [
        (beam, metric, unit, greedy, share)
        for beam, factor in ((4, 1), (16, 2))
        for metric, unit, greedy, share in (("mpjpe", "mm", 50.0, 0.01), ("latent_distortion", "1", 0.1, 0.2))
        for share in [share * factor]
    ]
    table = pd.DataFrame(rows, columns=["beam", "metric", "unit", "greedy", "gain_share"])
    gain = table["gain_share"] * table["greedy"]
    return table.assign(value=table["greedy"] - gain, gain=gain, gain_low=0.5 * gain, gain_high=2 * gain)


@pytest.fixture
def bits() -> pd.DataFrame:
    table = pd.DataFrame({"n_active": [0, 1, 2], "metric": "mpjpe", "value": [100.0, 40, 20], "unit": "mm"})
    for number, way in enumerate(("nominal", "effective", "conditional")):
        table[f"{way}_bits"] = table["n_active"] * (8.0 - number)
        table[f"{way}_bps"] = 15 * table[f"{way}_bits"]
    return table


def test_gains_have_their_paired_intervals(make_reconstruction):
    rows = make_reconstruction(3)
    rows = rows[rows["metric"] == "mpjpe"]
    bars = gain_figure(rows.assign(gain_low=rows["gain"] - 3, gain_high=rows["gain"] + 4)).data[0]
    assert_allclose(bars.y, rows["gain"].dropna())
    assert_allclose(bars.error_y.arrayminus, 3)
    assert_allclose(bars.error_y.array, 4)
    alone = gain_figure(rows.assign(gain_low=np.nan, gain_high=np.nan)).data[0]
    assert alone.error_y.array is None
    assert "one clip" in alone.hovertemplate


def test_a_layer_without_which_the_error_falls_has_its_own_colour(left_out):
    figure = leave_one_out_figure(left_out)
    assert list(trace(figure, "without it the error rises").x) == [1, 2]
    falls = trace(figure, "without it the error falls")
    assert (list(falls.x), list(falls.y)) == ([3], [-1])
    assert_allclose(falls.error_y.array, 3)
    assert figure.layout.yaxis.title.text == "rise: MPJPE, body (mm)"
    assert len(leave_one_out_figure(left_out[:2]).data) == 1


def test_the_ideal_code_stands_beside_the_variance_left(report):
    assert len(residual_figure(report.layers).data) == 1
    layers = report.layers.assign(gaussian_energy=[0.4, 0.2, 0.1])
    assert_allclose(trace(residual_figure(layers), "ideal").y, [1, 0.4, 0.2, 0.1])
    assert len(residual_figure(layers.assign(gaussian_energy=np.nan)).data) == 1


def test_headroom_is_a_share_of_the_greedy_error(headroom):
    figure = headroom_figure(headroom)
    wide = trace(figure, "beam of 16")
    assert list(wide.y) == ["MPJPE, body", "latents"]
    assert_allclose(wide.x, [0.02, 0.4])
    assert_allclose(wide.error_x.arrayminus, [0.01, 0.2])
    assert_allclose(wide.error_x.array, [0.02, 0.4])
    alone = headroom_figure(headroom.assign(gain_low=np.nan, gain_high=np.nan))
    assert trace(alone, "beam of 4").error_x.array is None
    perfect = headroom_figure(headroom.assign(gain_share=headroom["gain_share"].where(headroom["metric"] == "mpjpe")))
    assert list(perfect.data[0].y) == ["MPJPE, body"]


def test_error_stands_against_bits_by_second_where_the_time_is_known(bits):
    figure = rate_distortion_figure(bits, 12.0)
    assert list(trace(figure, "nominal").x) == [0, 120, 240]
    assert list(trace(figure, "conditional").x) == [0, 90, 180]
    assert set(trace(figure, "without").y) == {12}
    assert figure.layout.xaxis.title.text == "bits a second"
    timeless = rate_distortion_figure(bits.assign(nominal_bps=np.nan))
    assert list(trace(timeless, "effective").x) == [0, 7, 14]
    assert timeless.layout.xaxis.title.text == "bits a latent"
    assert len(timeless.data) == 3


def test_every_two_layers_have_a_cell():
    pairs = pd.DataFrame(
        {"layer": [1, 1, 2], "other_layer": [2, 3, 3], "ami": [0.4, np.nan, 0.7], "mi_corrected_bits": [1.0, 0, 2]}
    )
    cells = redundancy_figure(pairs).data[0]
    assert_allclose(cells.z, [[0.4, np.nan], [np.nan, 0.7]])
    assert cells.text.tolist() == [["0.40", ""], ["", "0.70"]]
    assert cells.zmax == 0.7
    assert redundancy_figure(pairs[:1]).data[0].zmax == 0.5


def test_the_worst_joint_is_on_top():
    rows = pd.DataFrame(
        {"joint": ["head", "left_wrist", "pelvis"], "metric": "mpjpe", "unit": "mm", "value": [30.0, 60, 0],
         "low": [20.0, 50, 0], "high": [45.0, 80, 0], "reference": [25.0, 55, 0]}
    )  # fmt: skip
    bars, marks = joint_figure(rows, True).data
    assert list(bars.y) == ["pelvis", "head", "left wrist"]  # drawn from below
    assert_allclose(bars.error_x.array, [0, 15, 20])
    assert_allclose(marks.x, [0, 25, 55])
    assert len(joint_figure(rows.assign(reference=np.nan)).data) == 1


class TestSentences:
    NEEDED = pd.DataFrame(
        {"share": [0.9, 0.95, 0.99], "quantizers": [1, 2, 4], "low": [1, 2, 3], "high": [1, 3, None],
         "agreement": [1.0, 0.8, 0.6]}
    ).astype({"quantizers": "Int64", "low": "Int64", "high": "Int64"})  # fmt: skip

    def test_quantizers_needed_say_how_sure(self):
        text = layer_words.needed_sentence(self.NEEDED)
        assert "90% with **1 quantizer** (100% of draws of clips agree)," in text
        assert "95% with **2 quantizers** (80% of draws of clips agree, 95 % say 2 to 3)," in text
        assert "99% with **4 quantizers** (60% of draws of clips agree, some show no gain)." in text

    def test_one_clip_or_no_gain(self):
        alone = self.NEEDED.assign(low=pd.NA, high=pd.NA, agreement=np.nan)
        assert layer_words.needed_sentence(alone).endswith("99% with **4 quantizers**.")
        assert "no gain" in layer_words.needed_sentence(alone.assign(quantizers=pd.NA))

    def test_what_it_was_measured_on(self, left_out):
        assert layer_words.detail_note(left_out).startswith("Measured on 1,234 frames of 7 clips; intervals")
        assert layer_words.detail_note(left_out.assign(clips=1)).endswith("of 1 clip; no interval for one clip.")

    def test_what_codes_cost(self, bits):
        assert (
            layer_words.rate_sentence(bits) == "All layers: 240 nominal, 210 effective, 180 conditional bits a second."
        )
        timeless = layer_words.rate_sentence(bits.assign(nominal_bps=np.nan))
        assert timeless == "All layers: 16 nominal, 14 effective, 12 conditional bits a latent."
        assert layer_words.rate_note(pd.DataFrame({"conditional_reliable": [True, True]})) == ""
        assert "too low" in layer_words.rate_note(pd.DataFrame({"conditional_reliable": [True, False]}))

    def test_tuples(self):
        tuples = pd.DataFrame({"layers": [1, 2], "tokens": 500, "distinct": [20, 300], "unique_share": [0.01, 0.5]})
        assert "first two layers show 300 different tuples in 500 tokens; 50% of" in layer_words.tuples_sentence(tuples)
        assert "first layer shows 20" in layer_words.tuples_sentence(tuples[:1])
