"""Every rule about what layers are worth to each other: a case built to trigger it, and one built not to."""

import numpy as np
import pandas as pd
import pytest
from reports import make_report, spread

from rvq_core.stats.layer_value import layer_value_tables
from rvq_core.stats.token_tables import token_tables
from rvq_core.verdicts import Thresholds, verdicts

K, CLIPS, DEPTH = 16, 12, 3
ERRORS = {"mpjpe": np.array([100.0, 60, 40, 30, 20]) * np.linspace(0.5, 1.5, CLIPS)[:, None]}


def rules(tables: dict[str, pd.DataFrame], thresholds: Thresholds | None = None) -> dict:
    tokens = [np.stack([spread(50, K, K)] * DEPTH, axis=1) for _ in range(CLIPS)]
    report = make_report(tokens, K, ema=[np.full(K, 9.0)] * DEPTH, errors=ERRORS, tables=tables)
    return {found["rule"]: found for found in verdicts(report, thresholds)}


def details(*, beam: float = 30.0, without: tuple[float, ...] = (90, 60, 50), noise: float = 0.0, clips: int = CLIPS):
    """Tables where greedy codes err by 30 mm, a beam of 16 by ``beam``, and ``without`` each layer by so much."""
    rng = np.random.default_rng(0)
    ways = [("full", 0, 30.0), ("unquantised", 0, 20.0), ("beam", 4, beam), ("beam", 16, beam)]
    ways += [("without", layer, value) for layer, value in enumerate(without, start=1)]
    rows = [
        (f"c{m}", encoding, number, "mpjpe", value + noise * rng.normal(), 100)
        for m in range(clips)
        for encoding, number, value in ways
    ]
    table = pd.DataFrame(rows, columns=["clip", "encoding", "number", "metric", "value", "weight"])
    nothing = pd.DataFrame(columns=["clip", "n_active", "metric", "value", "weight"])
    return layer_value_tables(nothing, table, 0)


def pairs(repeat: float, tokens: int) -> dict[str, pd.DataFrame]:
    """Two layers of 8 codes where the second repeats the first in a share ``repeat`` of the tokens."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 8, size=tokens)
    second = np.where(rng.random(tokens) < repeat, first, rng.integers(0, 8, size=tokens))
    return token_tables([np.stack([first, second], axis=1)], [8, 8], None)


def test_without_these_tables_the_rules_are_silent():
    assert not {"better_encoding_helps", "layers_repeat", "layer_not_missed"} & set(rules({}))
    assert not {"better_encoding_helps", "layer_not_missed"} & set(rules(details(clips=0)))


class TestBetterEncodingHelps:
    def test_a_tenth_of_the_error_is_told(self):
        found = rules(details(beam=27.0, noise=0.2))["better_encoding_helps"]
        assert (found["severity"], found["value"]) == ("note", pytest.approx(0.1, abs=0.01))
        assert found["low"] < found["value"] < found["high"]
        assert "beam search of 16" in found["finding"]
        assert found["measured_on"] == "12 clips, 1,200 frames"

    def test_little_or_unsure_gain_is_nothing(self):
        assert "better_encoding_helps" not in rules(details(beam=29.5, noise=0.2))
        assert "better_encoding_helps" not in rules(details(beam=27.0, noise=10.0))
        assert "better_encoding_helps" not in rules(details(beam=33.0))
        assert "better_encoding_helps" not in rules(details(beam=27.0), Thresholds(beam_gain=0.2))

    def test_one_clip_says_that_it_is_one(self):
        found = rules(details(beam=27.0, clips=1))["better_encoding_helps"]
        assert (found["low"], found["high"], found["caveat"]) == (None, None, "No interval for one clip.")


class TestLayersRepeat:
    def test_a_layer_that_repeats_another_is_a_warning_on_enough_tokens(self):
        found = rules(pairs(0.95, 4000))["layers_repeat"]
        assert (found["severity"], found["layers"]) == ("warning", [1, 2])
        assert found["value"] > 0.8
        assert found["caveat"] == ""

    def test_on_few_tokens_it_is_a_note_with_a_caveat(self):
        found = rules(pairs(1.0, 60))["layers_repeat"]
        assert found["severity"] == "note"
        assert "few tokens" in found["caveat"]

    def test_layers_that_share_the_work_are_nothing(self):
        assert "layers_repeat" not in rules(pairs(0.0, 4000))
        assert "layers_repeat" not in rules(pairs(0.0, 60))


class TestLayerNotMissed:
    def test_a_layer_that_can_be_left_out_is_named(self):
        found = rules(details(without=(90, 30.1, 50), noise=1.0))["layer_not_missed"]
        assert (found["severity"], found["layers"]) == ("note", [2])
        assert found["low"] <= 0 <= found["high"]
        assert "layer 2" in found["finding"]

    def test_layers_that_are_missed_and_one_clip_are_nothing(self):
        assert "layer_not_missed" not in rules(details(noise=1.0))
        assert "layer_not_missed" not in rules(details(without=(90, 30, 50), clips=1))
