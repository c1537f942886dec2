"""Every rule about reconstruction: a case built to trigger it, and one built not to."""

from dataclasses import replace

import numpy as np
import pytest
from reports import make_report, spread

from rvq_core import analyze, load_checkpoint
from rvq_core.verdicts import Thresholds, verdicts

K = 16
CLIPS = 12


def rules(curve, *, noise=0.0, metric="mpjpe", clips=CLIPS, thresholds=None, **more) -> dict:
    """Findings where every clip has the errors ``curve`` (n = 0..Q, unquantised), times a clip's own factor."""
    rng = np.random.default_rng(5)
    factor = rng.uniform(0.5, 1.5, size=(clips, 1))
    errors = np.array(curve) * factor + noise * rng.normal(size=(clips, len(curve)))
    tokens = [np.stack([spread(50, K, K)] * (len(curve) - 2), axis=1) for _ in range(clips)]
    report = make_report(tokens, K, ema=[np.full(K, 9.0)] * (len(curve) - 2), errors={metric: errors}, **more)
    return {found["rule"]: found for found in verdicts(report, thresholds)}


GOOD = [100, 60, 40, 30, 20]


def test_a_good_curve_gives_nothing():
    assert not rules(GOOD)
    assert not rules(GOOD, noise=0.5, held_out=[True, False] * 6)


class TestLastLayersBuyNothing:
    def test_it_names_the_first_of_them(self):
        found = rules([100, 60, 40, 40, 40, 20], noise=0.5)["last_layers_buy_nothing"]
        assert (found["severity"], found["layers"]) == ("warning", [3, 4])
        assert found["low"] <= 0 <= found["high"]
        assert "layers 3 to 4 (from layer 3 on)" in found["finding"]
        assert "change the MPJPE by" in found["finding"]
        assert "Try 2 quantizers" in found["advice"]

    def test_a_layer_before_one_that_buys_is_not_named(self):
        assert "last_layers_buy_nothing" not in rules([100, 60, 60, 40, 20], noise=0.5)

    def test_none_buys_anything(self):
        assert rules([40, 40, 40, 20], noise=0.5)["last_layers_buy_nothing"]["layers"] == [1, 2]

    def test_one_clip_tells_nothing_of_a_gain(self):
        assert "last_layers_buy_nothing" not in rules([100, 60, 59, 20], clips=1)
        found = rules([100, 60, 61, 20], clips=1)["last_layers_buy_nothing"]
        assert (found["layers"], found["low"], found["high"]) == ([2], None, None)
        assert found["severity"] == "note"
        assert "it changes the MPJPE by" in found["finding"]
        assert found["finding"].endswith("one clip tells no interval of that.")
        assert "Try 1 quantizer," in found["advice"]
        assert found["measured_on"].startswith("1 clip,")

    def test_where_no_layer_buys_anything_none_is_no_advice(self):
        found = rules([40, 41, 42, 20], clips=1)["last_layers_buy_nothing"]
        assert found["layers"] == [1, 2]
        assert "0 quantizers" not in found["advice"]


class TestWorseLayer:
    def test_a_rise_beyond_chance_is_a_warning(self):
        found = rules([100, 50, 60, 40, 20])["worse_layer"]
        assert (found["severity"], found["layers"]) == ("warning", [2])
        assert found["high"] < 0
        assert found["value"] == pytest.approx(-10, rel=0.3)

    def test_a_rise_within_chance_is_a_note(self):
        found = rules([100, 50, 51, 20, 10], noise=2)["worse_layer"]
        assert (found["severity"], found["layers"]) == ("note", [2])

    def test_one_clip_explains_nothing(self):
        found = rules([100, 50, 60, 40, 20], clips=1)["worse_layer"]
        assert (found["severity"], found["low"], found["high"]) == ("note", None, None)
        assert found["finding"].endswith("at layer 2, one clip tells no interval of that.")

    def test_a_falling_curve_is_nothing(self):
        assert "worse_layer" not in rules(GOOD, metric="feature_mse")


class TestHeldOutGap:
    HELD_OUT = (True,) * 4 + (False,) * 8

    def curves(self, free: float):
        errors = np.tile(np.array(GOOD, dtype=float), (CLIPS, 1))
        errors[:4] *= 3
        errors[:4, -1] = free
        tokens = [np.stack([spread(50, K, K)] * 3, axis=1) for _ in range(CLIPS)]
        report = make_report(tokens, K, errors={"mpjpe": errors}, held_out=self.HELD_OUT)
        return {found["rule"]: found for found in verdicts(report)}["held_out_gap"]

    def test_the_model_has_it_too(self):
        found = self.curves(free=60)
        assert (found["severity"], found["value"]) == ("warning", pytest.approx(3))
        assert (found["low"], found["high"]) == (pytest.approx(3), pytest.approx(3))  # each group is all alike
        assert "the model's" in found["finding"]
        assert "4 held-out clips are few" in found["caveat"]

    def test_the_quantizer_alone_has_it(self):
        found = self.curves(free=20)
        assert "mostly the quantizer's, 1.0 times without quantization" in found["finding"]
        assert "Overfitting" not in found["cause"]

    def test_most_of_the_gap_decides(self):
        assert "mostly the model's, 2.1 times without quantization" in self.curves(free=42)["finding"]
        assert "mostly the quantizer's, 1.9 times without quantization" in self.curves(free=38)["finding"]

    def test_no_gap_unknown_clips_or_one_kind_only_are_nothing(self):
        assert "held_out_gap" not in rules(GOOD, held_out=self.HELD_OUT, thresholds=Thresholds(max_held_out_ratio=2))
        assert "held_out_gap" not in rules(GOOD)
        assert "held_out_gap" not in rules(GOOD, held_out=[True] * CLIPS)


class TestQuantizerIsNoBottleneck:
    def test_the_error_is_there_unquantised(self):
        found = rules([100, 60, 40, 39])["quantizer_is_no_bottleneck"]
        assert (found["severity"], found["value"]) == ("note", pytest.approx(1 / 40))
        assert found["low"] <= found["value"] <= found["high"]

    def test_a_quantizer_that_costs_much_is_one(self):
        assert "quantizer_is_no_bottleneck" not in rules([100, 60, 40, 30])

    def test_a_decoder_that_knows_only_codes_has_no_floor_to_compare_with(self):
        assert "quantizer_is_no_bottleneck" not in rules([100, 60, 40, 46])
        assert "quantizer_is_no_bottleneck" in rules([100, 60, 40, 41])

    def test_no_error_at_all_is_no_division_by_zero(self):
        assert "quantizer_is_no_bottleneck" not in rules([1, 0, 0])


class TestFeaturesOffScale:
    def test_the_warning_of_the_analysis_becomes_severe(self, tiny, make_clip):
        clip = make_clip(frames=30)
        report = analyze(tiny, [replace(clip, features=50 * clip.features)], device="cpu")
        found = {v["rule"]: v for v in verdicts(report)}["features_off_scale"]
        assert found["severity"] == "severe"
        assert found["value"] > 3
        sane = analyze(tiny, [clip], device="cpu")
        assert "features_off_scale" not in {v["rule"] for v in verdicts(sane)}

    def test_without_mean_and_std_it_is_a_warning(self, make_checkpoint, make_clip):
        report = analyze(load_checkpoint(make_checkpoint(normalizer=False)), [make_clip(frames=30)], device="cpu")
        found = [v for v in verdicts(report) if v["rule"] == "features_off_scale"]
        assert "warning" in {v["severity"] for v in found}
