"""Comparisons of reports made by hand: differences of errors, also at equal rate, and of usage."""

import numpy as np
import pandas as pd
import pytest
from compared import CLIPS, K, errors_of, made, tokens_of

from rvq_core.compare import compare


class TestErrors:
    def test_a_shift_is_told_with_its_sign(self):
        comparison = compare([made("a"), made("b", shift=4.0), made("c", shift=-4.0)])
        table = comparison.tables["metrics"]
        assert table.query("checkpoint == 'b'")["delta"].to_numpy() == pytest.approx(4.0)
        assert set(table.query("checkpoint == 'b'")["words"]) == {"worse"}
        assert set(table.query("checkpoint == 'c'")["words"]) == {"better"}
        assert [line.split(":")[0] for line in comparison.manifest["summary"]] == ["b", "c"]
        assert "c: better." in comparison.manifest["summary"][1]

    def test_values_are_those_of_the_reports(self):
        one, other = made("a"), made("b", shift=4.0)
        table = compare([one, other]).tables["metrics"]
        overall = other.overall.set_index("n_active")
        for row in table.itertuples():
            wanted = overall["reference"].iloc[0] if row.n_active == -1 else overall["value"][row.n_active]
            assert row.value == pytest.approx(wanted)
        assert table["n_active"].tolist() == [-1, 0, 1, 2, 3]
        assert set(table["clips"]) == {CLIPS}

    def test_noise_is_no_clear_difference(self):
        rng = np.random.default_rng(2)
        noisy = errors_of() + rng.normal(0, 10, size=(CLIPS, 5))
        row = compare([made("a"), made("b", errors={"mpjpe": noisy})]).tables["metrics"].query("n_active == 3").iloc[0]
        assert row["words"] == "no clear difference"
        assert row["low"] < 0 < row["high"]

    def test_another_depth_is_compared_at_equal_n_and_with_all(self):
        comparison = compare([made("a"), made("b", depth=2)])
        table = comparison.tables["metrics"]
        pairs = table[["n_active", "baseline_n_active"]].to_numpy().tolist()
        assert pairs == [[-1, -1], [0, 0], [1, 1], [2, 2], [2, 3]]
        assert table["delta"].tolist()[1:4] == pytest.approx([0, 0, 0])
        assert table["delta"].iloc[4] > 0
        assert any("equal bits" in note for note in comparison.manifest["notes"])
        assert comparison.manifest["results"]["metrics"][0]["baseline_n_active"] == 3

    def test_codebooks_of_other_sizes_are_told_once(self):
        comparison = compare([made("a"), made("b", depth=2), made("c"), made("d", depth=1)])
        told = [note for note in comparison.manifest["notes"] if "equal bits" in note]
        assert len(told) == 1
        assert told[0].startswith("b, d have codebooks of other sizes or another number of them than a")

    def test_curves_hold_every_checkpoint_with_its_own_interval(self):
        one, other = made("a"), made("b", depth=2)
        curves = compare([one, other]).tables["curves"]
        assert curves.groupby("checkpoint")["n_active"].max().to_dict() == {"a": 3, "b": 2}
        of_one = curves.query("checkpoint == 'a'").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_one[["value", "low", "high"]], one.overall[["value", "low", "high"]])
        # 4 bits a layer and token of 2 frames at 30 a second
        assert of_one["nominal_bps"].tolist() == pytest.approx([0, 60, 120, 180])


class TestEqualRate:
    def test_half_the_stride_is_compared_at_equal_bits(self):
        """Two tokens where the baseline has one: its n layers cost what 2 n of the baseline do."""
        short = [each[: len(each) // 2] for each in tokens_of()]
        baseline = made("slow", tokens=short, stride=4)
        fast = made("fast", tokens=[np.repeat(each, 2, axis=0) for each in short], stride=2)
        table = compare([baseline, fast]).tables["equal_rate"].query("rate == 'nominal'")
        # One layer of it at 60 bits a second against two of the baseline; two would be beyond its three.
        (row,) = table.itertuples()
        assert (row.n_active, row.bits_per_second, row.bits_per_token) == (1, pytest.approx(60), pytest.approx(4))
        weights = [4 * len(each) for each in short]
        assert row.value == pytest.approx(np.average(errors_of()[:, 1], weights=weights))
        assert row.baseline == pytest.approx(np.average(errors_of()[:, 2], weights=weights))

    def test_other_sizes_are_interpolated(self):
        """Codebooks of 8 codes, 3 bits: the baseline's error between its points at 0, 4, 8 bits."""
        small = made("small", codes=8, tokens=tokens_of(codes=8))
        row = compare([made("a"), small]).tables["equal_rate"].query("rate == 'nominal' and n_active == 2").iloc[0]
        weights = [2 * len(each) for each in tokens_of()]
        wanted = 0.5 * errors_of()[:, 1] + 0.5 * errors_of()[:, 2]  # 6 bits
        assert row["baseline"] == pytest.approx(np.average(wanted, weights=weights))


class TestUsage:
    def test_a_collapsed_layer_is_told_lower(self):
        tokens = tokens_of()
        collapsed = [np.where(np.arange(3) == 1, each % 3, each) for each in tokens]
        comparison = compare([made("a", tokens=tokens), made("b", tokens=collapsed)])
        row = comparison.tables["layers"].query("layer == 2 and figure == 'perplexity'").iloc[0]
        assert row["words"] == "lower"
        assert row["high"] < 0
        usage = comparison.tables["usage"].query("checkpoint == 'b' and layer == 2").iloc[0]
        assert (row["value"], usage["unseen"]) == (usage["perplexity"], K - 3)

    def test_unseen_codes_have_no_interval(self):
        table = compare([made("a"), made("b", seed=5)]).tables["layers"]
        assert table.query("figure == 'unseen_share'")["low"].isna().all()
        assert table.query("figure == 'perplexity'")["low"].notna().all()
